"""Load on a running server."""

from __future__ import annotations

from dataclasses import dataclass

from secondread.config.require import require

# How the number of callers goes over time, and for how many seconds where nobody says: long enough to see it.
SHAPES = {
    "constant": 20.0,  # all of them, all the time; at 20 answers a second four requests lie above P99
    "ramp": 60.0,  # more and more of them, then all
    "spike": 60.0,  # few, suddenly all, few again
    "soak": 1800.0,  # all of them for long: what leaks or fills up shows after some minutes
}


@dataclass(frozen=True)
class LoadTestConfig:
    """Load on a running server, and what it must bear."""

    url: str = "http://127.0.0.1:8080"  # REST endpoint; empty: no REST users
    grpc_url: str = "127.0.0.1:8081"  # host:port of gRPC; empty: no gRPC users
    name: str = "secondread"  # model to ask
    digest: str = ""  # hex, of the model that must answer; another one's answer is a failure. Empty: any may
    shape: str = "constant"  # of SHAPES; the plainest
    users: int = 4  # callers at the same time, at most; REST and gRPC by turns; a reading room, not a flood
    seconds: float | None = None  # of measured load; by default what the shape needs
    # Of each user between an answer and the next request: the mean, exponential, since callers do not keep step. The
    # pace of an archive that sends film after film; a physician has one every half minute, and 0 is none.
    think_seconds: float = 0.05
    as_readings: bool = False  # the server is to compare the images with val, as it does those that come to be read
    p99_below_ms: float = 300.0  # milliseconds, exclusive; a reader hardly waits
    failures_below: float = 0.01  # share of requests, exclusive; few enough to be asked again
    # Inclusive. Where none of as many is too slow, P99 is below its limit with 95 % certainty: 0.99^300 = 0.05.
    requests_at_least: int = 300

    def __post_init__(self) -> None:
        require(bool(self.url or self.grpc_url), "the load test has neither a REST nor a gRPC address: give one.")
        require(self.shape in SHAPES, f"shape must be one of {', '.join(SHAPES)}, not '{self.shape}'.")
        require(self.users > 0, f"users must be above 0, not {self.users}.")
        require(self.duration_seconds > 0, f"seconds must be above 0, not {self.seconds}.")
        require(self.think_seconds >= 0, f"think_seconds must not be negative, not {self.think_seconds}.")
        require(self.p99_below_ms > 0, f"p99_below_ms must be above 0, not {self.p99_below_ms}.")
        require(0 < self.failures_below <= 1, f"failures_below is a share from 0 to 1, not {self.failures_below}.")
        require(self.requests_at_least > 0, f"requests_at_least must be above 0, not {self.requests_at_least}.")

    @property
    def duration_seconds(self) -> float:
        """Of measured load."""
        return SHAPES[self.shape] if self.seconds is None else self.seconds
