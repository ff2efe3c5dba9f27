"""Whether traffic goes where it was sent: routes have leaked, and weights have been ignored without a word."""

from __future__ import annotations

from collections.abc import Sequence

from scipy.special import betaincinv

from secondread.config.rollout import EvidenceConfig, StageConfig
from secondread.rollout.analysis.observations import Observation, Split

_CHANCE = 1e-4  # of calling a right split wrong at a look, which costs that look alone


def split_fault(stage: StageConfig, windows: Sequence[Observation], evidence: EvidenceConfig) -> str:
    """What is wrong with the measured split; empty where nothing is.

    The shares that the counts allow (Clopper and Pearson's interval) must meet those that were asked for, give or take
    the policy's points.

    Args:
        stage: what was asked for.
        windows: those that count, in their order; what was measured lately decides.
        evidence: how far it may be off.
    """
    lately = [window for window in windows if window.start >= windows[-1].end - evidence.split_seconds] or windows[-1:]
    known = [window.split for window in lately if window.split]
    if not known or not windows[-1].split:
        return "the split of the traffic is not known"
    split = Split(*(sum(getattr(each, name) for each in known) for name in ("stable", "canary", "mirrored")))
    answered = split.stable + split.canary
    fault = _off(split.canary, answered, stage.traffic_percent, evidence.split_points)
    if fault:
        return f"the new version answers {fault} of {answered:.0f} requests, asked were {stage.traffic_percent} %"
    mirrored = _off(min(split.mirrored, answered), answered, stage.mirror_percent, evidence.split_points)
    if mirrored:
        return f"{mirrored} of {answered:.0f} requests are mirrored, asked were {stage.mirror_percent} %"
    return ""


def _off(part: float, total: float, percent: float, points: float) -> str:
    """The measured share in percent where it is not what was asked for, else empty; unknown is off."""
    if not total:
        return "an unknown share"
    low = betaincinv(part, total - part + 1, _CHANCE / 2) if part else 0.0
    high = betaincinv(part + 1, total - part, 1 - _CHANCE / 2) if part < total else 1.0
    asked, tolerance = percent / 100, points / 100
    return "" if low <= asked + tolerance and high >= asked - tolerance else f"{part / total:.1%}"
