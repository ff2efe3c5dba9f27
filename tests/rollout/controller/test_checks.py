"""The candidate alone, under load and against the inference API's rules, in a process beside the looks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from secondread.config.loadtest import LoadTestConfig
from secondread.errors import DependencyError
from secondread.model.folder import ModelFolder
from secondread.rollout.controller.checks import CONFORMANCE, LOAD_TEST, Check
from secondread.rollout.controller.controller import Checked
from secondread.rollout.splitters.splitter import Side
from secondread.tracking.registry import RegisteredVersion
from tests.serving.conftest import (  # noqa: F401 - fixtures
    Served,
    model,
    repository,
    served,
    signer,
    trusted,
    wait_until,
)

QUICK = LoadTestConfig(users=2, seconds=2.0, requests_at_least=10, p99_below_ms=5000.0)


@pytest.fixture
def candidate(model: ModelFolder) -> RegisteredVersion:  # noqa: F811
    digest = model.digest()
    return RegisteredVersion("secondread", 3, digest, f"/models/secondread/{digest}", "", "")


@pytest.fixture
def side(served: Served, candidate: RegisteredVersion) -> Side:  # noqa: F811
    return Side(candidate.storage_uri, ready=True, url=served.url, grpc_url=served.grpc_url)


@pytest.fixture
def come_to(candidate: RegisteredVersion, wait_until: Callable[..., None]) -> Callable[..., Checked]:  # noqa: F811
    """Asks a check again and again until it has come to something."""

    def ask(check: Check, side: Side) -> Checked:
        found: list[Checked] = []

        def done() -> bool:
            if checked := check(candidate, side):
                found.append(checked)
            return bool(found)

        assert check(candidate, side) is None  # it has begun, and nobody waits for it
        wait_until(done, seconds=120, what=str(check))
        return found[0]

    return ask


def test_a_good_candidate_bears_the_load_and_a_page_shows_how(
    side: Side, come_to: Callable[..., Checked], tmp_path: Path
) -> None:
    checked = come_to(Check(LOAD_TEST, tmp_path, load_test=QUICK), side)
    assert checked.passed
    assert "0.00% of" in checked.what
    assert "<html" in (tmp_path / "checks/load_test/loadtest.html").read_text(encoding="utf-8")


def test_one_that_is_too_slow_does_not_and_the_gate_says_why(
    side: Side, come_to: Callable[..., Checked], tmp_path: Path
) -> None:
    strict = LoadTestConfig(users=2, seconds=2.0, requests_at_least=10, p99_below_ms=0.01)
    checked = come_to(Check(LOAD_TEST, tmp_path, load_test=strict), side)
    assert not checked.passed
    assert "0.01" in checked.what


def test_it_answers_as_the_inference_api_says(side: Side, come_to: Callable[..., Checked], tmp_path: Path) -> None:
    checked = come_to(Check(CONFORMANCE, tmp_path, load_test=QUICK), side)
    assert checked == Checked(True, "answers as the inference API says, over REST and gRPC")


def test_nobody_knows_where_it_is_or_it_does_not_answer(
    side: Side, candidate: RegisteredVersion, come_to: Callable[..., Checked], tmp_path: Path
) -> None:
    check = Check(CONFORMANCE, tmp_path, load_test=QUICK)
    with pytest.raises(DependencyError, match="nobody knows where the candidate alone can be asked"):
        check(candidate, Side(candidate.storage_uri, ready=True))
    with pytest.raises(DependencyError, match=r"no server answers at http://127\.0\.0\.1:9"):
        come_to(check, Side(candidate.storage_uri, ready=True, url="http://127.0.0.1:9"))
    assert come_to(check, side).passed  # asked again, it begins anew
