"""The gate: may a model with these figures go on? One pure function from policy and figures to a reasoned answer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from secondread.config.document import read_mapping
from secondread.config.gate import GateConfig
from secondread.config.mapping import from_mapping
from secondread.errors import InputError
from secondread.evaluation.evidence import Evidence
from secondread.evaluation.intervals.bounds import UNKNOWN, Interval
from secondread.evaluation.latency import Latency
from secondread.evaluation.paired.difference import BesideChampion, margin_line
from secondread.evaluation.stress.behaviour_results import NOT_ASKED, PASS, Behaviour
from secondread.evaluation.stress.known_failures import MENDED, KnownFailures
from secondread.evaluation.subgroups.results import JUDGED, SENSITIVITY, TOO_SMALL, WORSE, Factor, Subgroups
from secondread.evaluation.verdict import GateResult, Line


@dataclass(frozen=True)
class Findings:
    """What the gate looks at. What is not there fails where it is asked for: no data is no success.

    Attributes:
        images: how many images the figures come from.
        metrics: figures over all classes, by name of `metrics.by_name.OVERALL`.
        sensitivity: of each class of the model; NaN where the images have none of it.
        ece_if_calibrated: where the calibration error of a perfectly calibrated model would lie on as many images.
        evidence: for whom the model is worse, what breaks it, and so on; None where it was not gathered.
    """

    images: int
    metrics: Mapping[str, float]
    sensitivity: Mapping[str, float] = field(default_factory=dict)
    ece_if_calibrated: Interval = UNKNOWN
    evidence: Evidence | None = None


def decide(policy: GateConfig, found: Findings) -> GateResult:
    """Compare what was found with the policy.

    Args:
        policy: the limits; `above` and `below` exclude the limit itself.
        found: about one model.
    """
    least = policy.images_at_least
    lines = [Line("images_at_least", found.images >= least, f"{found.images} images, at least {least} asked")]
    lines += [_figure(f"{name}_above", name, limit, found) for name, limit in _floors(policy) if limit is not None]
    if policy.sensitivity_above is not None:
        lines.append(_sensitivity(policy.sensitivity_above, found))
    if policy.ece_below is not None:
        lines.append(_calibration(policy.ece_below, found))
    return GateResult.of([*lines, *_of_evidence(policy, found.evidence)])


def read_policy(path: Path | str, further: Mapping[str, Any] | None = None) -> GateConfig:
    """Read a policy from a `gate.yaml`: a mapping of `GateConfig`'s fields.

    Args:
        path: of the file.
        further: fields that stand above those of the file.
    Raises:
        InputError: the file is missing, is no YAML mapping, or has a key or value that is no setting.
    """
    return from_mapping(GateConfig, {**stated_in(path), **(further or {})})


def stated_in(path: Path | str) -> dict[str, Any]:
    """The fields that a `gate.yaml` states, each of them a setting of `GateConfig`.

    Raises:
        InputError: as of `read_policy`.
    """
    document = read_mapping(path, what="gate policy", example="accuracy_above: 0.70")
    try:
        from_mapping(GateConfig, document, stage="")
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return document


def _floors(policy: GateConfig) -> tuple[tuple[str, float | None], ...]:
    return (
        ("accuracy", policy.accuracy_above),
        ("auroc_macro", policy.auroc_macro_above),
        ("balanced_accuracy", policy.balanced_accuracy_above),
    )


def _figure(line: str, name: str, limit: float, found: Findings) -> Line:
    value = found.metrics.get(name, math.nan)
    if math.isnan(value):
        return Line(line, False, f"{name} is not known, above {limit:.4g} asked")
    return Line(line, value > limit, f"{name} {value:.4f} is {'' if value > limit else 'not '}above {limit:.4g}")


def _sensitivity(limit: float, found: Findings) -> Line:
    """Every class, the worst of which decides."""
    name = "sensitivity_above"
    unknown = [each for each, value in found.sensitivity.items() if math.isnan(value)]
    if unknown or not found.sensitivity:
        return Line(name, False, f"the sensitivity of {', '.join(unknown) or 'the classes'} is not known")
    worst, value = min(found.sensitivity.items(), key=lambda item: item[1])
    holds = value > limit
    return Line(
        name, holds, f"the lowest sensitivity, {value:.4f} of {worst}, is {'' if holds else 'not '}above {limit:.4g}"
    )


def _calibration(limit: float, found: Findings) -> Line:
    """Below the limit, or no more than chance."""
    name, value, chance = "ece_below", found.metrics.get("ece", math.nan), found.ece_if_calibrated
    if math.isnan(value):
        return Line(name, False, f"ece is not known, below {limit:.4g} asked")
    if value < limit:
        return Line(name, True, f"ece {value:.4f} is below {limit:.4g}")
    by_chance = value <= chance.high  # never where it is not known
    if by_chance:
        span = f"{chance.low:.4f} to {chance.high:.4f}"
        reason = f"ece {value:.4f} is not below {limit:.4g}, but a perfectly calibrated model would show {span} here"
    else:
        reason = f"ece {value:.4f} is not below {limit:.4g}, and more than chance"
    return Line(name, by_chance, reason)


def _of_evidence(policy: GateConfig, evidence: Evidence | None) -> Iterator[Line]:
    """The conditions that figures over all images do not answer."""
    if policy.latency_p99_ms_below is not None:
        yield _latency(policy.latency_p99_ms_below, evidence.latency if evidence else None)
    if policy.subgroup_gap_points_below is not None:
        yield _subgroups(policy.subgroup_gap_points_below, evidence.subgroups if evidence else None)
    if policy.subgroups_told:
        yield _told(policy.subgroups_told, evidence.subgroups if evidence else None)
    if policy.behaviour_tests:
        yield _behaviour(evidence.behaviour if evidence else None)
    strange = evidence.not_my_field if evidence else None
    if policy.other_fields_above is not None:
        share = strange.together.share if strange else math.nan
        yield _share("other_fields_above", "images of other fields", share, policy.other_fields_above, above=True)
    if policy.false_alarms_below is not None:
        share = strange.own.share if strange else math.nan
        yield _share("false_alarms_below", "its own images", share, policy.false_alarms_below, above=False)
    if policy.known_failures_mended_at_least is not None:
        yield _mended(policy.known_failures_mended_at_least, evidence.known_failures if evidence else None)
    champion = evidence.champion if evidence else None
    for name, points in (("accuracy", policy.accuracy_margin_points), ("auroc_macro", policy.auroc_margin_points)):
        if points is not None:
            yield _margin(name, points, champion)


def _latency(limit: float, found: Latency | None) -> Line:
    name = "latency_p99_ms_below"
    if found is None:
        return Line(name, False, f"the latency was not measured, below {limit:g} ms asked")
    holds = found.p99_ms < limit
    reason = (
        f"one image takes {found.p99_ms:.2f} ms (P99), {'' if holds else 'not '}below {limit:g} ms, on {found.machine}"
    )
    return Line(name, holds, reason)


def _subgroups(limit: float, found: Subgroups | None) -> Line:
    """Every gap that is more than chance; none that could be told is no success, and what could not be is said."""
    name = "subgroup_gap_points_below"
    gaps = [
        (factor.name, group.name, gap)
        for factor in (found.factors if found else ())
        for group in factor.groups
        for gap in group.gaps
        if gap.figure in JUDGED
    ]
    told = [each for each in gaps if each[2].verdict != TOO_SMALL]
    if not told:
        return Line(name, False, "no two groups of patients are known and large enough to be compared")
    worse = [each for each in told if each[2].verdict == WORSE and -100 * each[2].value >= limit]
    if not worse:
        reason = f"none of {len(told)} gaps between groups is {limit:g} points and more than chance"
        return Line(name, True, "; ".join([reason, *_untold(found.factors if found else ())]))
    factor, group, gap = min(worse, key=lambda each: each[2].value)
    of = f"sensitivity of {gap.classes[0]}" if gap.figure == SENSITIVITY else "accuracy at the same class mix"
    span = f"{100 * gap.low:+.1f} to {100 * gap.high:+.1f}"
    return Line(name, False, f"{factor} {group} is read worse: {of} {100 * gap.value:+.1f} points ({span})")


def _untold(factors: Sequence[Factor]) -> Iterator[str]:
    """What could not be told, of factors and of the classes within those that could."""
    if unknown := [factor.name for factor in factors if not factor.told]:
        yield f"not told of {', '.join(unknown)}"
    for factor in factors:
        if factor.told and factor.classes_untold:
            yield f"of {factor.name} not told for {', '.join(factor.classes_untold)}"


def _told(asked: Sequence[str], found: Subgroups | None) -> Line:
    """Each of these factors has groups that are known and large enough."""
    told = [factor.name for factor in (found.factors if found else ()) if factor.told]
    missing = [name for name in asked if name not in told]
    if missing:
        reason = f"no two groups of {', '.join(missing)} are known and large enough to be compared"
        return Line("subgroups_told", False, reason)
    return Line("subgroups_told", True, f"groups of {', '.join(asked)} are known and large enough to be compared")


def _behaviour(found: Behaviour | None) -> Line:
    name = "behaviour_tests"
    if found is None:
        return Line(name, False, "no behaviour test was run")
    asked = [result for result in found.results if result.verdict != NOT_ASKED]
    failed = [result for result in asked if result.verdict != PASS]
    if failed:
        told = "; ".join(f"{result.name}: {result.reason}" for result in failed)
        return Line(name, False, f"{len(failed)} of {len(asked)} behaviour tests do not pass: {told}")
    return Line(name, found.passed, f"all {len(asked)} behaviour tests pass")


def _mended(limit: float, found: KnownFailures | None) -> Line:
    """A case that could not be run counts as not mended; no case at all is no success."""
    name, asked = "known_failures_mended_at_least", f"at least {limit:.4g} asked"
    if found is None or not found.cases:
        return Line(name, False, f"no known failure was run, {asked}")
    mended, rest = len(found.of(MENDED)), [case for case in found.cases if case.verdict != MENDED]
    told = "".join(f"; {case.name} {case.verdict}" for case in rest)
    reason = f"{mended} of {len(found.cases)} known failures are mended, {asked}{told}"
    return Line(name, mended / len(found.cases) >= limit, reason)


def _margin(name: str, points: float, champion: BesideChampion | None) -> Line:
    if champion is None:
        line = f"{name.removesuffix('_macro')}_margin_points"
        return Line(line, False, f"no champion was named to be compared with, at most {points:g} points worse asked")
    return margin_line(name, champion.differences[name], points)


def _share(name: str, what: str, share: float, limit: float, *, above: bool) -> Line:
    side = "above" if above else "below"
    if math.isnan(share):
        return Line(name, False, f"what is turned away of {what} is not known, {side} {limit:.4g} asked")
    holds = share > limit if above else share < limit
    return Line(name, holds, f"{share:.1%} of {what} are turned away, {'' if holds else 'not '}{side} {limit:.4g}")
