"""`secondread rollout`, as a user lets a version in on one machine: real servers, Envoy, Prometheus, registry."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from secondread.cli.main import app
from secondread.config.environment import Environment
from secondread.config.rollout import RolloutConfig
from secondread.errors import DependencyError
from secondread.model.folder import ModelFolder
from secondread.rollout.controller import ask
from secondread.rollout.record.home import Rollouts
from secondread.rollout.record.record import Plan, RolloutRecord
from secondread.tracking.registry import Registry
from tests.serving.conftest import model, models, wait_for  # noqa: F401 - fixtures
from tests.serving.steady_load import Load

ROOT = Path(__file__).resolve().parents[2]
POLICY = """
stages:
  - {name: staging, checks: [conformance], seconds_at_least: 0, undecided_seconds: 240, deadline_seconds: 240}
  - {name: half, traffic_percent: 50, seconds_at_least: 600, requests_at_least: 100000, deadline_seconds: 40000}
  - {name: full, traffic_percent: 100, seconds_at_least: 600, requests_at_least: 100000, deadline_seconds: 40000}
evidence: {settle_seconds: 2, age_seconds: 60}
"""


class World:
    """A machine with two registered versions, of which the first is served; and commands that are typed there."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.registry = folder, Registry(Environment.read().mlflow_tracking_uri)
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Type one that goes on until it is ended."""
        with (self.folder / f"{command[0]}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "secondread", "rollout", *command], cwd=ROOT, stdout=log, stderr=log
            )
        self._processes.append(process)
        return process

    def log(self, command: str) -> str:
        return (self.folder / f"{command}.log").read_text()

    def end(self) -> None:
        for process in reversed(self._processes):
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                assert process.wait(timeout=90) == 0
        self._processes.clear()

    def typed(self, *command: str, code: int = 0) -> str:
        """What one says that ends by itself."""
        done = CliRunner().invoke(app, ["rollout", *command], catch_exceptions=True)
        said = done.output + (str(done.exception) if done.exception else "")
        assert (getattr(done.exception, "exit_code", done.exit_code)) == code, said
        return said

    def status(self) -> Any:
        return json.loads(self.typed("status", "--json"))


@pytest.fixture
def world(models: list[ModelFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:  # noqa: F811
    monkeypatch.setenv("SECONDREAD_HOME", str(tmp_path / "home"))
    world = World(tmp_path)
    for number in (1, 2):  # the same model twice: nothing speaks against the second but that it is not tried yet
        copy = tmp_path / "copies" / str(number)
        shutil.copytree(models[0].root, copy)
        document = json.loads((copy / "config.json").read_text())
        (copy / "config.json").write_text(json.dumps({**document, "library_version": str(number)}))
        tags, environment = {"gate.passed": "true"}, Environment.read()
        root = tmp_path / "models"
        world.registry.register(
            ModelFolder.open(copy), name="secondread", root=root, tags=tags, environment=environment
        )
    yield world
    world.end()


def test_a_version_is_let_in_watched_paused_and_promoted_by_hand_and_gone_back_from(
    world: World, film: Any, tmp_path: Path
) -> None:
    ready, policy, page = tmp_path / "ready.json", tmp_path / "rollout.yaml", tmp_path / "timeline.html"
    policy.write_text(POLICY, encoding="utf-8")
    world.start(
        "edge",
        *("--http-port", "0", "--grpc-port", "0", "--prometheus-port", "0", "--ready-file", str(ready)),
        *(
            "--set",
            "serve.threads=1",
            "--set",
            "serve.start_timeout_seconds=240",
            "--set",
            "prometheus.scrape_seconds=1",
        ),
    )
    assert "there has been no rollout of 'secondread': begin one" in world.typed("status", code=2)
    wait_for(ready.is_file, seconds=240, what="the edge to listen")
    where = json.loads(ready.read_text())
    control = tmp_path / "control.yaml"
    control.write_text("interval_seconds: 1", encoding="utf-8")

    begun = ("start", "--policy", str(policy), "--detach", "--actor", "Ada", "--reason")
    assert "--reason is empty" in world.typed(*begun, " ", code=2)
    assert "version 1 of 'secondread' is the champion" in world.typed(*begun[:1], "1", *begun[1:], "why", code=2)
    assert "Ada" in world.typed(*begun, "learned from more films")
    assert "rollout 1 of 'secondread' has not ended" in world.typed(*begun, "once more", code=2)

    world.start("control", "--control", str(control))
    with Load(type("Edge", (), where), film(1)) as load:
        wait_for(lambda: world.status()["stage"] == "half", seconds=240, what="the candidate to get requests")
        wait_for(lambda: {"1", "2"} <= {each.version for each in load.answers}, seconds=60, what="both to answer")
        assert "pause, Grace: lunch" in world.typed("pause", "--actor", "Grace", "--reason", "lunch")
        assert world.status()["state"]["paused"] == "Grace: lunch"
        assert "Grace: lunch" in re.sub(r"\s+", " ", world.typed("status"))
        assert "resume, Grace: back" in world.typed("resume", "--actor", "Grace", "--reason", "back")
        assert "promote: Grace: it is plain" in world.typed("promote", "--actor", "Grace", "--reason", "it is plain")
        assert world.registry.get("secondread").version == 2
        assert "has ended: there is nothing to pause" in world.typed("pause", "--reason", "late", code=2)
        said = world.typed("rollback", "--to", "1", "--actor", "Grace", "--reason", "the second is wrong")
        assert "roll back: Grace: the second is wrong" in said
        assert len(said.splitlines()) == len(set(said.splitlines())), "what is tried again is said once"
        ended = len(load.answers)
        wait_for(lambda: len(load.answers) > ended + 10, seconds=60, what="answers")
    assert not load.broken
    assert {each.status for each in load.answers} == {"200", "OK"}
    assert load.answers[-1].version == "1"
    assert world.registry.aliases("secondread").champion == "1"
    tags = world.registry.record("secondread", "2").tags
    kept = [json.loads(tags[key])["what"] for key in sorted(tags) if key.startswith("rollout.")]
    assert [each for each in kept if each in ("advance", "promote", "roll_back")] == ["advance", "promote", "roll_back"]

    history = world.typed("history")
    assert re.search(r"1 +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +1 +2 +Ada", history), history
    assert "conformance: answers as the inference API says" in world.typed("history", "--rollout", "1")
    assert "timeline" in world.typed("history", "--html", str(page))
    assert "Grace: the second is wrong" in page.read_text(encoding="utf-8")
    world.end()
    assert "Traceback" not in world.log("control") + world.log("edge")


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RolloutRecord:
    """A rollout on a machine where nothing runs; whoever asks for something waits a moment for it."""
    monkeypatch.setenv("SECONDREAD_HOME", str(tmp_path / "home"))
    for seconds in ("_PATIENCE_SECONDS", "_POLL_SECONDS"):
        monkeypatch.setattr(ask, seconds, 0.01)
    return Rollouts(tmp_path / "home").begin(Plan("secondread", 1, 2, RolloutConfig(), "Ada", "why", time.time()))


def test_a_word_that_nobody_can_obey_says_why(begun: RolloutRecord) -> None:
    done = CliRunner().invoke(app, ["rollout", "rollback", "--reason", "both are wrong"])
    assert isinstance(done.exception, DependencyError), done.output
    said = str(done.exception)
    assert re.fullmatch(
        r"'roll back' is kept and not obeyed after 0 s: the edge of \S+ does not run: start it, .*", said
    )
    assert begun.word() is not None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("interval_second: 5", "control has no setting interval_second"),
        ("splitter: nginx", "control.splitter must be one of envoy, kserve-canary, knative, not 'nginx'"),
        ("splitter: knative", "observe.prometheus_url is empty: name the cluster's Prometheus"),
        ("[1, 2]", "must map settings to values, such as 'interval_seconds: 30'"),
    ],
)
def test_a_control_file_that_is_wrong_is_named(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "control.yaml"
    file.write_text(text, encoding="utf-8")
    done = CliRunner().invoke(app, ["rollout", "control", "--once", "--control", str(file)])
    assert says in str(done.exception)


def test_what_is_set_goes_before_the_control_file_field_by_field(tmp_path: Path) -> None:
    from secondread.cli.rollout import _control

    file = tmp_path / "control.yaml"
    file.write_text("{interval_seconds: 5, observe: {timeout_seconds: 3, stale_seconds: 9}}", encoding="utf-8")
    config = _control(file, ["control.observe.stale_seconds=20", "control.webhook_url=http://hook"])
    assert (config.interval_seconds, config.webhook_url) == (5, "http://hook")
    assert (config.observe.timeout_seconds, config.observe.stale_seconds) == (3, 20)
