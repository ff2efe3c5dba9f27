"""Good and bad versions on one machine: real servers, Envoy, Prometheus and users; nothing is simulated."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.rollout_live import WORDS, Row, page, rows
from benchmarks.rollout_machine import INTERVAL, POLICY, SHARES, STAGING, Machine
from benchmarks.workplace import Workplace
from secondread.model.folder import ModelFolder
from secondread.rollout.analysis.decide import decide
from secondread.rollout.analysis.state import RolloutState
from secondread.rollout.record.record import RolloutRecord
from tests.serving.conftest import model, wait_until  # noqa: F401 - fixtures

# Short, for all tests together: the longer ones are the benchmark's.
QUICK = replace(
    POLICY,
    stages=(
        replace(STAGING, checks=("conformance",), undecided_seconds=240.0, deadline_seconds=240.0),
        *(replace(each, seconds_at_least=8.0, requests_at_least=60) for each in SHARES[1:]),
    ),
    triggers=replace(POLICY.triggers, drift=(), latency_ms_above=5000.0),
    compare=replace(POLICY.compare, latency_worse_points=None, tail_worse_points=None, required=("errors", "classes")),
    evidence=replace(POLICY.evidence, settle_seconds=2.0, age_seconds=60.0, split_points=20.0),
)


@pytest.fixture(scope="module")
def machine(model: ModelFolder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:  # noqa: F811
    """Version 1 is served, version 2 ends as it starts, version 3 is good."""
    home = tmp_path_factory.mktemp("machine")
    with Machine(model, home, ["crash", ""], interval_seconds=INTERVAL / 2) as found:
        yield found


def test_a_version_that_ends_as_it_starts_is_gone_before_it_had_a_request(machine: Machine) -> None:
    ended = machine.roll_out(machine.versions[1], QUICK)
    assert (ended.action, ended.stage, ended.answered, ended.failed) == ("roll_back", "staging", 0, 0)
    assert "servers of the new version restarted" in ended.reason
    assert "this version ends before it answers" in ended.reason
    assert champion(machine) == 1


def test_a_good_version_is_promoted_and_no_request_is_lost(machine: Machine) -> None:
    ended = machine.roll_out(machine.versions[2], QUICK)
    assert (ended.action, ended.failed, ended.stable_failed) == ("promote", 0, 0), ended.reason
    assert ended.answered >= 120
    assert champion(machine) == 3
    seen_again(ended.record)


def seen_again(record: RolloutRecord) -> None:
    """The same decisions come of what was seen, once more."""
    plan, seen = record.plan, record.observations()
    decided = [each for each in record.events() if each.what in ("hold", "advance", "promote", "roll_back")]
    state = RolloutState.begun(plan.begun)
    for event in decided:
        decision = decide(plan.policy, state, [each for each in seen if each.end <= event.at], event.at)
        assert (decision.action, decision.reason) == (event.what, event.reason)
        state = state.after(decision, plan.policy, event.at)


def champion(machine: Machine) -> int:
    return machine.registry.get("secondread").version


@pytest.mark.full
def test_every_bad_version_leaves_for_the_right_reason_and_the_good_one_stays(tmp_path: Path) -> None:
    found = {row.fault: row for row in rows(Workplace(tmp_path).trained_served.model)}
    assert set(found) == set(WORDS)
    for fault, reason in {
        "slow": "slower than|ms is not below",
        "errors_5_percent": "requests that failed|requests failed",
        "errors_2_percent": "requests that failed|requests failed",
        "crash": "restarted",
        "permuted": "images read as|predictions_psi|read differently",
        "unsure": "confidence",
        "leak": "restarted .* killed by signal 9",
    }.items():
        of_fault(found[fault], reason)
    good = found[""].checked
    assert (good.action, good.failed) == ("promote", 0), good.reason
    assert sum(each.stable_failed for row in found.values() for each in (row.checked, row.unchecked) if each) == 0
    assert "| nothing | full, promoted |" in page(list(found.values()))


def of_fault(row: Row, reason: str) -> None:
    assert row.unchecked
    for each in (row.checked, row.unchecked):
        assert each.action == "roll_back", (row.fault, each.reason)
        assert re.search(reason, each.reason), (row.fault, each.reason)
    assert row.checked.answered == 0, row.fault
