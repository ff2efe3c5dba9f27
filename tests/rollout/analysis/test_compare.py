"""Figures side by side: what is compared where, at which level, and what is not known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from secondread.rollout.analysis.compare import FIGURES, Verdict, compare, compared, level
from secondread.rollout.analysis.observations import Agreement, Histogram, Observation
from secondread.rollout.analysis.sequential import log_evidence
from secondread.rollout.analysis.shares import shares_of
from tests.rollout.seen import BOUNDS, POLICY, changed, of_stage, side

CANARY = next(stage for stage in POLICY.stages if stage.name == "canary")
SHADOW = next(stage for stage in POLICY.stages if stage.name == "shadow")
WELL = of_stage(CANARY, 30)


def verdicts(windows: list[Observation], *, shadow: bool = False) -> dict[str, Verdict]:
    return {each.figure: each.verdict for each in compare(POLICY, SHADOW if shadow else CANARY, windows)}


def test_a_stage_compares_what_both_sides_have() -> None:
    by_stage = {stage.name: compared(POLICY, stage) for stage in POLICY.stages}
    assert by_stage["shadow"] == list(FIGURES)
    assert by_stage["canary"] == [figure for figure in FIGURES if figure != "disagreement"]
    assert by_stage["staging"] == by_stage["full"] == []


def test_all_levels_together_are_what_the_policy_allows() -> None:
    figures = sum(len(compared(POLICY, stage)) for stage in POLICY.stages)
    triggers = 2 * sum(stage.has_requests for stage in POLICY.stages)
    assert level(POLICY) * (figures + triggers) == pytest.approx(POLICY.evidence.false_rollback_share)


def test_what_need_not_be_known_is_unknown_and_the_rest_within() -> None:
    found = verdicts(WELL)
    assert found.pop("physicians") is Verdict.UNKNOWN
    assert set(found.values()) == {Verdict.WITHIN}


def test_few_requests_tell_nothing_apart() -> None:
    few = of_stage(CANARY, 3, requests=300)
    assert {verdict for figure, verdict in verdicts(few).items() if figure != "physicians"} == {Verdict.UNDECIDED}


@pytest.mark.parametrize(
    ("different", "verdict"), [(50.0, Verdict.WITHIN), (400.0, Verdict.WORSE), (170.0, Verdict.UNDECIDED)]
)
def test_mirrored_images_that_are_read_differently(different: float, verdict: Verdict) -> None:
    windows = [replace(each, shadow=Agreement(1000.0, different)) for each in of_stage(SHADOW, 3)]
    assert verdicts(windows, shadow=True)["disagreement"] is verdict


@pytest.mark.parametrize(("different", "verdict"), [(2.0, Verdict.WITHIN), (12.0, Verdict.WORSE)])
def test_readings_that_physicians_did_not_share(different: float, verdict: Verdict) -> None:
    windows = [
        replace(
            changed(each, readings=Agreement(40.0, different)),
            stable=side(9000, number=number, readings=Agreement(360.0, 18.0)),
        )
        for number, each in enumerate(WELL)
    ]
    assert verdicts(windows)["physicians"] is verdict


def test_histograms_of_other_bounds_cannot_be_compared() -> None:
    other = Histogram((0.05, 0.1), (900.0, 90.0, 10.0))
    assert verdicts([changed(each, seconds=other) for each in WELL])["latency"] is Verdict.UNKNOWN


def test_a_version_that_is_faster_is_no_worse() -> None:
    faster = Histogram(BOUNDS, (1000.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    assert verdicts([changed(each, seconds=faster) for each in WELL])["latency"] is Verdict.WITHIN


def test_more_and_fewer_images_of_a_class_are_both_strange() -> None:
    for normal in (500.0, 900.0):
        found = verdicts(
            [changed(each, predictions={"cxr-normal": normal, "cxr-covid": 1000 - normal}) for each in WELL]
        )
        assert found["classes"] is Verdict.WORSE


def test_the_two_limits_of_a_figure_are_apart() -> None:
    """Half a point more failures is more than a quarter and less than one: it is worse, and would be within."""
    bad = [changed(each, requests={"200": 995.0, "500": 5.0}) for each in WELL]
    assert verdicts(bad)["errors"] is Verdict.WORSE
    lenient = replace(POLICY, compare=replace(POLICY.compare, errors_worse_points=0.6))
    [errors] = [each for each in compare(lenient, CANARY, bad) if each.figure == "errors"]
    assert errors.verdict is Verdict.WITHIN
    assert str(errors) == "0.50% requests that failed beside 0.00% of the stable version's"


def test_a_figure_is_held_to_its_part_of_the_level_and_a_histogram_to_that_of_each_bound() -> None:
    bad = [changed(each, requests={"200": 995.0, "500": 5.0}) for each in WELL]
    slow = [changed(each, seconds=Histogram(BOUNDS, (820.0, 180.0, 0.0, 0.0, 0.0, 0.0))) for each in bad]
    found = {each.figure: each for each in compare(POLICY, CANARY, slow)}
    errors = log_evidence(*(np.array([each]) for each in (150.0, 30_000.0, 0.0, 270_000.0, 0.0025)))
    assert found["errors"].evidence == pytest.approx(float(errors[0]) / math.log(1 / level(POLICY)))
    shares = shares_of("latency", slow, POLICY.evidence)
    assert shares
    times = log_evidence(
        shares.events / shares.alike,
        shares.total / shares.alike,
        shares.base_events / shares.alike,
        shares.base_total / shares.alike,
        np.array(0.03),
    )
    assert found["latency"].evidence == pytest.approx(times.max() / math.log(len(BOUNDS) / level(POLICY)))
