"""How this machine's own Prometheus reads its servers, and for how long it keeps what it read."""

from __future__ import annotations

from dataclasses import dataclass

from secondread.config.require import require


@dataclass(frozen=True)
class PrometheusConfig:
    """A Prometheus beside the edge, on loopback."""

    port: int = 9090  # Prometheus's usual one. 0 picks a free one, and keeps it
    # Between two readings of a server: a dozen in a rollout's minute. A reading is some 3 ms of the server's time.
    scrape_seconds: float = 5.0
    retention_days: int = 15  # Prometheus's usual; a rollout ends after two days at the latest
    retention_mib: int = 1024  # whatever the days: a disk is not filled by what nobody looks at

    def __post_init__(self) -> None:
        require(0 <= self.port <= 65535, f"port must be from 0 (any free one) to 65535, not {self.port}.")
        require(self.scrape_seconds >= 0.1, f"scrape_seconds must be 0.1 or more, not {self.scrape_seconds}.")
        for name in ("retention_days", "retention_mib"):
            require(getattr(self, name) >= 1, f"{name} must be 1 or more, not {getattr(self, name)}.")
