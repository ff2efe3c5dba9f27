"""Limits of the new version's own: for how long, by how much more than chance, and whose fault."""

from __future__ import annotations

import math

import numpy as np
import pytest

from secondread.rollout.analysis.compare import level
from secondread.rollout.analysis.observations import Observation
from secondread.rollout.analysis.sequential import log_evidence_above
from secondread.rollout.analysis.triggers import drift_unknown, triggers
from tests.rollout.seen import POLICY, changed, side, window


def failing(first: int, failed: int, *, requests: int = 1000) -> list[Observation]:
    """Six minutes of failures after so many good ones."""
    return [
        window(n, percent=100, requests=requests, canary=side(requests, number=n, failed=failed if n >= first else 0))
        for n in range(first + 6)
    ]


@pytest.mark.parametrize("failed", range(11, 30))
def test_a_run_may_start_at_any_window_and_each_start_has_its_part_of_the_level(failed: int) -> None:
    evidence = float(log_evidence_above(np.array(6.0 * failed), np.array(6000.0), np.array(0.01)))
    for first in (0, 40):
        windows = failing(first, failed)
        [errors] = triggers(POLICY, windows, windows)
        assert (errors.name, errors.seconds) == ("errors", 360.0)
        assert errors.value == pytest.approx(failed / 1000)
        assert errors.pulled == (evidence >= math.log((first + 1) * (first + 2) / level(POLICY)))


def test_the_starts_differ_where_it_matters() -> None:
    """Between the two there is a share of failures that a run from the first window shows, and a later one not yet."""
    pulled = {
        first: [
            triggers(POLICY, windows, windows)[0].pulled
            for failed in range(11, 30)
            for windows in [failing(first, failed)]
        ]
        for first in (0, 40)
    }
    assert 0 < sum(pulled[40]) < sum(pulled[0]) < 19


def test_a_window_within_the_limit_ends_the_run() -> None:
    windows = failing(0, 50)
    windows[3] = window(3, percent=100, canary=side(1000, number=3))
    [errors] = triggers(POLICY, windows, windows)
    assert (errors.seconds, errors.pulled) == (120.0, False)
    assert not triggers(POLICY, windows[:4], windows[:4])


def test_the_limit_itself_is_no_fault() -> None:
    windows = failing(0, 10)
    assert not triggers(POLICY, windows, windows)


def test_what_is_not_known_pulls_nothing() -> None:
    windows = [
        changed(each, requests=None, seconds=None, drift=None, ready=None, restarts=None) for each in failing(0, 50)
    ]
    assert not triggers(POLICY, windows, windows)
    assert drift_unknown(POLICY.triggers, windows[-1]) == ["predictions_psi", "confidence_psi"]


@pytest.mark.parametrize(("p_value", "pulled"), [(0.001, True), (0.01, True), (0.05, False), (None, True)])
def test_what_chance_makes_of_few_images_is_no_drift(p_value: float | None, pulled: bool) -> None:
    drift = {"predictions_psi": 0.4, "confidence_psi": 0.0}
    if p_value is not None:
        drift["predictions_p_value"] = p_value
    windows = [window(n, canary=side(number=n, drift=drift)) for n in range(5)]
    assert [each.name for each in triggers(POLICY, windows, windows)] == (["drift predictions_psi"] if pulled else [])


def test_drift_that_only_the_new_version_shows_is_its_own() -> None:
    drifting = {"predictions_psi": 0.4, "confidence_psi": 0.0}
    for others, shared in (({"predictions_psi": 0.0}, False), (drifting, True), (None, False)):
        windows = [
            window(n, canary=side(number=n, drift=drifting), stable=side(number=n, drift=others)) for n in range(5)
        ]
        [drift] = triggers(POLICY, windows, windows)
        assert (drift.name, drift.pulled, drift.shared) == ("drift predictions_psi", True, shared)
