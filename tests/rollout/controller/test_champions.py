"""The registry as a rollout needs it: each deed once, however often it is asked for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from secondread.config.rollout import RolloutConfig
from secondread.errors import GateRefused, IntegrityError
from secondread.model.folder import ModelFolder
from secondread.rollout.controller.champions import RegistryChampions
from secondread.rollout.record.record import Event, Plan
from secondread.tracking.events import events
from tests.tracking.test_promotion import Shelf

PLAN = Plan("cxr", 1, 2, RolloutConfig(), "Ada", "it reads effusions", 1_000_000.0)


@pytest.fixture
def champions(shelf: Shelf, mlflow_uri: str) -> RegistryChampions:
    return RegistryChampions(replace(shelf.environment, mlflow_tracking_uri=mlflow_uri))


@pytest.fixture
def shelf(mlflow_uri: str, tiny_model: ModelFolder, tmp_path: Path) -> Shelf:
    shelf = Shelf(mlflow_uri, tiny_model, tmp_path)
    for number in (1, 2):
        shelf.add(number)
    return shelf


def test_a_promotion_that_is_asked_for_twice_is_one(shelf: Shelf, champions: RegistryChampions) -> None:
    for _ in range(2):
        champions.promoted("cxr", 2, actor="Ada", reason="it has shown itself")
    assert shelf.aliases() == {"champion": "2", "champion-1": "1"}
    (promoted,) = events(shelf.registry.record("cxr", "2").tags, of="it")
    assert (promoted["actor"], promoted["reason"], promoted["from"]) == ("Ada", "it has shown itself", 1)


def test_a_version_that_no_gate_passed_does_not_become_champion(shelf: Shelf, champions: RegistryChampions) -> None:
    shelf.add(3, passed="false")
    with pytest.raises(GateRefused, match="the gate refused version 3"):
        champions.promoted("cxr", 3, actor="Ada", reason="it has shown itself")
    assert shelf.aliases()["champion"] == "1"


def test_whether_a_version_may_be_champion_is_known_before_anything_is_done(
    shelf: Shelf, champions: RegistryChampions
) -> None:
    shelf.add(3, passed="false")
    shelf.add(4)
    champions.check("cxr", 2)
    with pytest.raises(GateRefused, match="the gate refused version 3"):
        champions.check("cxr", 3)
    for number in ("2", "4"):
        shelf.promote(number, keep=1)
    shelf.registry.client.set_model_version_tag("cxr", "2", "gate.passed", "false")
    champions.check("cxr", 2)  # it was champion, and was judged then
    (Path(shelf.registry.get("cxr", "2").storage_uri) / "cxr" / "config.pbtxt").write_text("altered")
    with pytest.raises(IntegrityError):
        champions.check("cxr", 2)
    assert shelf.aliases()["champion"] == "4"


def test_one_goes_back_to_any_earlier_version_kept_as_a_target_or_not(
    shelf: Shelf, champions: RegistryChampions
) -> None:
    shelf.add(3)
    for number in (2, 3):
        shelf.promote(str(number), keep=1)
    assert shelf.aliases() == {"champion": "3", "champion-1": "2"}
    for _ in range(2):
        champions.rolled_back("cxr", 2, actor="Grace", reason="3 is late")
    assert shelf.aliases() == {"champion": "2"}
    champions.rolled_back("cxr", 1, actor="Grace", reason="all are wrong since")
    assert shelf.aliases()["champion"] == "1"


def test_an_event_is_kept_with_the_candidate_and_a_long_one_without_its_figures(
    shelf: Shelf, champions: RegistryChampions
) -> None:
    champions.write_down(PLAN, Event(1_000_060.25, "advance", "canary", "all is well", {"requests": 12.0}))
    champions.write_down(PLAN, Event(1_000_060.25, "checked", "canary", "of the same look"))
    many = {f"figure {number}": float(number) for number in range(1000)}
    champions.write_down(PLAN, Event(1_000_120.0, "roll_back", "half", "it is slow", many))
    tags = shelf.registry.record("cxr", "2").tags
    kept = {key: json.loads(text) for key, text in tags.items() if key.startswith("rollout.")}
    assert kept == {
        "rollout.1970-01-12T13-47-40.250000Z": {
            "stage": "canary",
            "what": "advance",
            "reason": "all is well",
            "figures": {"requests": 12.0},
        },
        "rollout.1970-01-12T13-47-40.250001Z": {
            "stage": "canary",
            "what": "checked",
            "reason": "of the same look",
            "figures": {},
        },
        "rollout.1970-01-12T13-48-40.000000Z": {"stage": "half", "what": "roll_back", "reason": "it is slow"},
    }
