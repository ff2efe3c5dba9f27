"""What is decided of a rollout at one look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Action(StrEnum):
    """What is done."""

    HOLD = "hold"  # nothing
    ADVANCE = "advance"  # the next stage
    PROMOTE = "promote"  # the new version becomes the stable one
    ROLL_BACK = "roll_back"  # the new version leaves
    INCONCLUSIVE = "inconclusive"  # a person decides; until then it is paused


@dataclass(frozen=True)
class Decision:
    """What is done, and why.

    Attributes:
        action: what.
        reason: one sentence for a person, with the figures that decided.
        figures: numbers for whoever keeps a record, by name; only what is known.
        alarm: somebody should look, such as where nothing can be seen.
    """

    action: Action
    reason: str
    figures: Mapping[str, float] = field(default_factory=dict)
    alarm: bool = False
