"""A rollout begins only where it can be carried on as its policy says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from secondread.config.control import ControlConfig
from secondread.config.observe import ObserveConfig
from secondread.config.rollout import RolloutConfig
from secondread.errors import GateRefused, InputError
from secondread.model.folder import ModelFolder
from secondread.rollout.controller import carry_on
from secondread.rollout.record.home import Rollouts
from secondread.rollout.splitters.splitter import Side, Split
from tests.tracking.test_promotion import Shelf

UNMIRRORED = replace(
    RolloutConfig(), stages=tuple(stage for stage in RolloutConfig().stages if not stage.mirror_percent)
)


@dataclass
class Splitter:
    """Whoever shares the requests, as far as a beginning asks."""

    mirrors: ClassVar[bool] = False
    stable: Side
    asks_candidate: bool = True
    refuses: str = ""

    def check(self) -> None:
        if self.refuses:
            raise InputError(self.refuses)

    def read(self) -> Split:
        return Split(self.stable, None, 0, mirrored=False)


@pytest.fixture
def begin(mlflow_uri: str, tiny_model: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Begins a rollout of version 2 beside the champion, version 1; gives its record."""
    shelf = Shelf(mlflow_uri, tiny_model, tmp_path)
    served = [shelf.add(1), shelf.add(2)]
    shelf.add(3, passed="false")
    environment = replace(shelf.environment, mlflow_tracking_uri=mlflow_uri, home=tmp_path / "home")

    def begun(candidate: str = "2", *, policy: RolloutConfig = UNMIRRORED, serves: int = 1, **splits: Any) -> Any:
        splitter = Splitter(Side(str(served[serves - 1]), ready=True), **splits)
        monkeypatch.setattr(carry_on, "open_splitter", lambda *_: splitter)
        return carry_on.begin(
            candidate,
            name="cxr",
            policy=policy,
            config=ControlConfig(splitter="kserve-canary", observe=ObserveConfig("http://prometheus:9090")),
            environment=environment,
            actor="Ada",
            reason="it reads effusions",
            now=1_000_000.0,
        )

    return begun


def test_the_challenger_is_let_in_beside_the_champion_and_nothing_is_done_yet(begin: Any, tmp_path: Path) -> None:
    record = begin()
    assert (record.plan.stable, record.plan.candidate, record.plan.policy) == (1, 2, UNMIRRORED)
    (event,) = record.events()
    assert (event.what, event.stage, event.reason) == ("begun", "staging", "Ada: it reads effusions")
    assert [each.folder for each in Rollouts(tmp_path / "home").running()] == [record.folder]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"candidate": "1"}, "version 1 of 'cxr' is the champion: there is nothing to let in"),
        ({"candidate": "7"}, "the registry has no model 'cxr' with version or alias '7'"),
        ({"policy": RolloutConfig()}, "kserve-canary mirrors no requests: leave stage shadow out of the policy"),
        ({"refuses": "this cluster has no Gateway API."}, "this cluster has no Gateway API"),
        ({"asks_candidate": False}, "kserve-canary has no address at which a candidate alone .*: leave stage staging"),
        ({"candidate": "3"}, "the gate refused version 3 of 'cxr'"),
        ({"serves": 2}, "is not the champion, version 1 .*: have them agree first"),
    ],
)
def test_what_cannot_be_carried_on_is_not_begun(begin: Any, given: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises((InputError, GateRefused), match=says):
        begin(**given)
    assert not Rollouts(tmp_path / "home").all("cxr")
