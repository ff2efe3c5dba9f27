"""How many users there are at each moment of a load test."""

from __future__ import annotations

import math

from secondread.config.loadtest import LoadTestConfig

# Of each part: its share of the time, and of the users at its start and at its end, in a straight line.
_PARTS = {
    "constant": ((1.0, 1.0, 1.0),),
    "ramp": ((2 / 3, 0.0, 1.0), (1 / 3, 1.0, 1.0)),
    "spike": ((1 / 3, 0.2, 0.2), (1 / 3, 1.0, 1.0), (1 / 3, 0.2, 0.2)),
    "soak": ((0.05, 0.0, 1.0), (0.95, 1.0, 1.0)),
}


def users_at(seconds: float, config: LoadTestConfig) -> int | None:
    """How many users there should be.

    Args:
        seconds: since the start.
        config: with shape, duration and number of users.
    Returns:
        From 1 to `config.users`; None once the test is over.
    """
    passed = seconds / config.duration_seconds
    for length, first, last in _PARTS[config.shape]:
        if passed < length:
            return max(1, math.ceil(config.users * (first + (last - first) * passed / length)))
        passed -= length
    return None
