"""How long a controller on a cluster may act after it said last that it is there."""

from __future__ import annotations

from dataclasses import dataclass

from secondread.config.require import require


@dataclass(frozen=True)
class LeaseConfig:
    """Times of a Lease. A minute to take over is no harm: a rollout is looked at every minute."""

    duration_seconds: int = 60  # nobody else takes it over before; whole seconds, as the API has it
    # After that without a renewal its holder acts no more. Half of it, so that what was begun in time has half a minute
    # to end (a call of the API server is given up after 25 s), and so that one clock may go twice as fast as another.
    deadline_seconds: float = 30.0
    retry_seconds: float = 5.0  # between two renewals, or two tries to get it

    def __post_init__(self) -> None:
        ordered = 0 < self.retry_seconds < self.deadline_seconds < self.duration_seconds
        require(ordered, "retry_seconds must be above 0, deadline_seconds above it, and duration_seconds above that.")
