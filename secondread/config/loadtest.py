"""Load on a running server."""

from __future__ import annotations

from dataclasses import dataclass

from secondread.config.require import require


@dataclass(frozen=True)
class LoadTestConfig:
    """Load on a running server, and what it must bear."""

    url: str = "http://127.0.0.1:8080"  # REST endpoint; empty: no REST users
    grpc_url: str = "127.0.0.1:8081"  # host:port of gRPC; empty: no gRPC users
    name: str = "secondread"  # model to ask
    users: int = 4  # callers at the same time, REST and gRPC by turns; a reading room, not a flood
    seconds: float = 20.0  # of measured load; at 20 answers a second four requests lie above P99
    wait_seconds: float = 0.05  # of each user between an answer and the next request
    p99_below_ms: float = 300.0  # milliseconds; the seed's gate
    failures_at_most: float = 0.01  # share of requests; the seed's gate

    def __post_init__(self) -> None:
        require(bool(self.url or self.grpc_url), "the load test has neither a REST nor a gRPC address: give one.")
        require(self.users > 0, f"users must be above 0, not {self.users}.")
        require(self.seconds > 0, f"seconds must be above 0, not {self.seconds}.")
        require(self.wait_seconds >= 0, f"wait_seconds must not be negative, not {self.wait_seconds}.")
        require(self.p99_below_ms > 0, f"p99_below_ms must be above 0, not {self.p99_below_ms}.")
        require(
            0 <= self.failures_at_most <= 1, f"failures_at_most is a share from 0 to 1, not {self.failures_at_most}."
        )
