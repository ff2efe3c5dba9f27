"""Which of the observed windows count as evidence in a stage."""

from __future__ import annotations

from collections.abc import Sequence
from operator import eq

from secondread.config.rollout import EvidenceConfig, StageConfig
from secondread.rollout.analysis.observations import Observation, Side


def judged(
    seen: Sequence[Observation], stage: StageConfig, evidence: EvidenceConfig, *, since: float
) -> list[Observation]:
    """The windows that count: after traffic has settled, in order, and with requests of each side that has any.

    A window that overlaps the one before would count its requests twice. A window that says of a version exactly what
    the one before said is a stuck exporter's, or a cache's: it counts as no time, so that a constant series never
    passes.

    Args:
        seen: windows of the stage, in the order in which they were made.
        stage: that the rollout is in.
        evidence: how much a window needs.
        since: when its traffic was set, in seconds since 1970.
    """
    taken: list[Observation] = []
    settled = since + (evidence.settle_seconds if stage.has_requests else 0.0)
    for window in seen:
        before = taken[-1] if taken else None
        if window.start < (before.end if before else settled):
            continue
        sides = _sides(window, stage)
        enough = all(side and (side.total or 0.0) >= evidence.window_requests_at_least for side in sides)
        stuck = before is not None and any(map(eq, sides, _sides(before, stage)))
        if enough and not stuck:
            taken.append(window)
    return taken


def in_order(observations: Sequence[Observation]) -> list[Observation]:
    """Those that are not of a clock that was set back since: none begins or ends after one that was made later began.

    Args:
        observations: in the order in which they were made.
    """
    found: list[Observation] = []
    for each in reversed(observations):
        if not found or each.end <= found[-1].start:
            found.append(each)
    return found[::-1]


def watched_seconds(windows: Sequence[Observation]) -> float:
    """How long they lasted, together."""
    return sum(window.seconds for window in windows)


def requests_of_new(windows: Sequence[Observation]) -> float:
    """Requests of the new version, mirrored ones among them; where they are not known they count for none."""
    return sum(window.canary.total or 0.0 for window in windows if window.canary)


def _sides(window: Observation, stage: StageConfig) -> list[Side | None]:
    """The sides that have requests."""
    return [window.canary, window.stable] if stage.has_both_sides else [window.canary]
