"""The measured split: chance is no fault, a leak is one."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from secondread.rollout.analysis.observations import Split
from secondread.rollout.analysis.split import split_fault
from tests.rollout.seen import POLICY, of_stage, window

CANARY = next(stage for stage in POLICY.stages if stage.name == "canary")
SHADOW = next(stage for stage in POLICY.stages if stage.name == "shadow")


@pytest.mark.parametrize("canary", [0, 3, 50, 70, 100, 130, 160, 200, 1000])
def test_it_is_wrong_where_an_exact_interval_misses_what_was_asked(canary: int) -> None:
    found = split_fault(CANARY, [window(0, split=Split(1000.0 - canary, float(canary)))], POLICY.evidence)
    interval = binomtest(canary, 1000).proportion_ci(1 - 1e-4, method="exact")
    assert bool(found) == (interval.low > 0.13 or interval.high < 0.07)


@pytest.mark.parametrize(("mirrored", "wrong"), [(10_000.0, False), (9_800.0, False), (9_000.0, True), (0.0, True)])
def test_what_is_mirrored_is_measured_too(mirrored: float, wrong: bool) -> None:
    assert (
        bool(split_fault(SHADOW, [window(0, percent=0, split=Split(10_000.0, 0.0, mirrored))], POLICY.evidence))
        is wrong
    )


def test_an_answer_of_a_version_that_is_only_mirrored_is_a_leak() -> None:
    found = split_fault(SHADOW, [window(0, split=Split(9000.0, 1000.0, 10_000.0))], POLICY.evidence)
    assert found == "the new version answers 10.0% of 10000 requests, asked were 0 %"


def test_only_what_was_measured_lately_decides() -> None:
    before = [window(number, split=Split(0.0, 10_000.0)) for number in range(10)]
    well = of_stage(CANARY, 20)[10:]
    assert split_fault(CANARY, [*before, *well[:3]], POLICY.evidence)
    assert not split_fault(CANARY, [*before, *well], POLICY.evidence)
