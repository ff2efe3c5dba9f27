"""The new version beside the stable one, figure by figure: worse, within its margin, or not told apart yet.

Every figure is a share of requests or images, or several: of those above each bound of a histogram, of each class. What
is compared is a new version's share with the stable one's in the same windows, so that a busy hour is nobody's fault.

Worse: the hypothesis "no more than `_worse_points` worse" is rejected, at a level that all tests of all stages share
(Bonferroni), so that a good version is rolled back no more often than the policy says. Within: "worse by
`_margin_points` or more" is rejected, for every share of the figure; since each must pass, none needs a stricter level
(Berger, "Multiparameter hypothesis testing and acceptance sampling", Technometrics 24, 1982). Both hold over all looks
(`sequential`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import StrEnum

import numpy as np

from secondread.config.rollout import CompareConfig, RolloutConfig, StageConfig
from secondread.rollout.analysis import sequential
from secondread.rollout.analysis.observations import Observation
from secondread.rollout.analysis.sequential import Floats
from secondread.rollout.analysis.shares import Shares, shares_of

_WORSE = "_worse_points"
FIGURES = tuple(each.name.removesuffix(_WORSE) for each in fields(CompareConfig) if each.name.endswith(_WORSE))
TRIGGERS_TESTED = 2  # errors and latency: they take their part of the level
_WORDS = {
    "errors": "requests that failed",
    "refused": "requests that were refused",
    "latency": "requests slower than {} s",
    "tail": "requests slower than {} s, beyond the stable version's P99",
    "classes": "images read as {}",
    "confidence": "images with a confidence above {}",
    "outside": "images out of distribution",
    "disagreement": "mirrored images that the two read differently",
    "physicians": "readings that physicians did not share",
}


class Verdict(StrEnum):
    """What a comparison comes to."""

    WORSE = "worse"
    WITHIN = "within"
    UNDECIDED = "undecided"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Comparison:
    """One figure.

    Attributes:
        figure: of `FIGURES`.
        verdict: on it.
        required: it must be within to go on.
        what: the share that differs most, in words.
        share, base_share: of the new and of the stable version, from 0 to 1; of the latter NaN where there is none.
        evidence: the strongest against "no worse", over what would be enough; 1 or more is worse.
    """

    figure: str
    verdict: Verdict
    required: bool
    what: str = ""
    share: float = math.nan
    base_share: float = math.nan
    evidence: float = 0.0

    def __str__(self) -> str:
        """One sentence's worth."""
        if self.verdict is Verdict.UNKNOWN:
            return f"{self.figure} is not known"
        beside = "" if math.isnan(self.base_share) else f" beside {self.base_share:.2%} of the stable version's"
        return f"{self.share:.2%} {self.what}{beside}"


def compare(
    policy: RolloutConfig, stage: StageConfig, windows: Sequence[Observation], *, to_go_on: bool = True
) -> list[Comparison]:
    """All figures that the policy compares in a stage where both sides have requests.

    Args:
        policy: limits, margins, and how sure.
        stage: that the windows are of.
        windows: those that count, in their order.
        to_go_on: whether it is asked if figures are within their margins; else only which are worse.
    """
    return [_compared(figure, policy, windows, to_go_on=to_go_on) for figure in compared(policy, stage)]


def compared(policy: RolloutConfig, stage: StageConfig) -> list[str]:
    """Names of the figures that are compared in a stage: none where the stable version has no requests."""
    asked = [figure for figure in FIGURES if getattr(policy.compare, f"{figure}{_WORSE}") is not None]
    if not stage.has_both_sides:
        return []
    return [figure for figure in asked if figure != "disagreement" or stage.mirror_percent]


def level(policy: RolloutConfig) -> float:
    """Of one figure, or trigger, in one stage: its part of the share of good versions that may be rolled back."""
    tests = sum(len(compared(policy, stage)) + TRIGGERS_TESTED for stage in policy.stages if stage.has_requests)
    return policy.evidence.false_rollback_share / tests


def _compared(figure: str, policy: RolloutConfig, windows: Sequence[Observation], *, to_go_on: bool) -> Comparison:
    config, required = policy.compare, figure in policy.compare.required
    shares = shares_of(figure, windows, policy.evidence)
    if shares is None:
        return Comparison(figure, Verdict.UNKNOWN, required)
    if not shares.names:  # nothing lies beyond the last bound's P99, so that nothing can be slower there
        return Comparison(figure, Verdict.WITHIN, required, "requests slower than all bounds", 0.0, 0.0)
    worse, margin = (getattr(config, f"{figure}{end}") / 100 for end in (_WORSE, "_margin_points"))
    tests = shares.tests * (2 if shares.both_ways else 1)
    against = _more(shares, worse)
    if shares.both_ways:
        against = np.maximum(against, _fewer(shares, -worse))
    at = int(np.argmax(against))
    strength = float(against[at]) / math.log(tests / level(policy))
    if strength >= 1:
        verdict = Verdict.WORSE
    else:
        within = to_go_on and _within(shares, margin, policy.evidence.wrong_advance_share)
        verdict = Verdict.WITHIN if within else Verdict.UNDECIDED
    return Comparison(
        figure,
        verdict,
        required,
        _WORDS[figure].format(shares.names[at]),
        float(shares.events[at] / shares.total),
        float(shares.base_events[at] / shares.base_total) if shares.base_total else math.nan,
        max(0.0, strength),
    )


def _within(shares: Shares, margin: float, alpha: float) -> bool:
    """Whether every share is shown to be less than a margin away."""
    enough = math.log(1 / alpha)
    if not (_fewer(shares, margin) >= enough).all():
        return False
    return not shares.both_ways or bool((_more(shares, -margin) >= enough).all())


def _more(shares: Shares, margin: float) -> Floats:
    """Log-evidence against "the new version's share is at most the stable one's plus a margin"."""
    alike = shares.alike
    if not shares.base_total:
        return sequential.log_evidence_above(shares.events / alike, shares.total / alike, np.array(margin))
    base = shares.base_events / alike, shares.base_total / alike
    return sequential.log_evidence(shares.events / alike, shares.total / alike, *base, np.array(margin))


def _fewer(shares: Shares, margin: float) -> Floats:
    """Log-evidence against "the new version's share is at least the stable one's plus a margin"."""
    alike, total, base_total = shares.alike, shares.total, shares.base_total
    rest = (total - shares.events) / alike
    if not base_total:
        return sequential.log_evidence_above(rest, total / alike, np.array(1 - margin))
    base_rest = (base_total - shares.base_events) / alike
    return sequential.log_evidence(rest, total / alike, base_rest, base_total / alike, np.array(-margin))
