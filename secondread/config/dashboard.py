"""Where the data dashboard listens, and what it shows."""

from __future__ import annotations

from dataclasses import dataclass

from secondread.config.require import require


@dataclass(frozen=True)
class DashboardConfig:
    """What `data dashboard` is told."""

    root: str  # folder, s3://bucket/prefix or swift://container/prefix with dataset versions
    host: str = "127.0.0.1"  # address to listen on: pictures of patients are shown without a password, so this machine
    port: int = 9002  # TCP; beside MinIO's 9000 and 9001

    def __post_init__(self) -> None:
        require(bool(self.root), "root is empty. Name a folder, s3://bucket/prefix or swift://container/prefix.")
        require(bool(self.host), "host is empty. Use 127.0.0.1 for this machine, 0.0.0.0 for everyone who reaches it.")
        require(1 <= self.port <= 65535, f"port must be from 1 to 65535, not {self.port}.")
