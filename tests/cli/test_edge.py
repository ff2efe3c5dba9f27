"""`secondread rollout edge`, as a user starts it: Envoy, the champion and Prometheus, until Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from secondread.cli.main import app
from secondread.config.environment import Environment
from secondread.errors import InputError
from secondread.model.folder import ModelFolder
from secondread.serving.predict import predict_with_server
from secondread.tracking.registry import Registry
from tests.serving.conftest import model, models, wait_for  # noqa: F401 - fixtures

ROOT = Path(__file__).resolve().parents[2]


class Edge:
    """The command, running.

    Attributes:
        process: of it.
        where: what it wrote for scripts.
        output: what it printed.
    """

    def __init__(self, folder: Path, *options: str, **environment: str) -> None:
        ready, self.output = folder / "ready.json", folder / "output.txt"
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "secondread", "rollout", "edge", "--ready-file", str(ready), *options]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=os.environ | environment, stdout=output, stderr=output
            )
        wait_for(lambda: ready.is_file() or self.process.poll() is not None, seconds=240, what="the edge to listen")
        assert self.process.poll() is None, self.output.read_text()
        self.where: dict[str, Any] = json.loads(ready.read_text())

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Its exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Edge]]:
    """Start the command; it is ended with the test."""
    started: list[Edge] = []

    def make(*options: str, **environment: str) -> Edge:
        started.append(Edge(tmp_path, *options, **environment))
        return started[-1]

    yield make
    for each in started:
        if each.process.poll() is None:
            each.end()


@pytest.fixture
def registry(models: list[ModelFolder], mlflow_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:  # noqa: F811
    """Two versions, of which the first is champion."""
    monkeypatch.setenv("SECONDREAD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
    made = Registry(mlflow_uri)
    for each in models[:2]:
        made.register(
            each,
            name="secondread",
            root=tmp_path / "models",
            tags={"gate.passed": "true"},
            environment=Environment.read(),
        )
    return made


def test_the_champion_is_served_and_after_a_kill_what_was_served_whatever_the_registry_says(
    registry: Registry, start: Callable[..., Edge], tmp_path: Path, film: Callable[..., bytes]
) -> None:
    (tmp_path / "film.png").write_bytes(film(1))
    any_ports = ("--http-port", "0", "--grpc-port", "0", "--prometheus-port", "0")
    settings = ("--set", "serve.threads=1", "--set", "serve.start_timeout_seconds=240")
    first = start(*any_ports, *settings)
    assert answering_version(first, tmp_path) == "1"
    assert get(f"{first.where['prometheus_url']}/-/ready") == 200
    for each in ("url", "grpc_url", "prometheus_url", "metrics_url"):
        assert first.where[each] in first.output.read_text()
    first.end(signal.SIGKILL)

    ports = [first.where[each].rpartition(":")[2] for each in ("url", "grpc_url", "prometheus_url")]
    options = [word for pair in zip(any_ports[::2], ports, strict=True) for word in pair]
    again = start(*options, *settings, MLFLOW_TRACKING_URI="sqlite:////nowhere/mlflow.db")
    for each in ("url", "grpc_url", "prometheus_url"):
        assert again.where[each] == first.where[each]
    assert answering_version(again, tmp_path) == "1"
    assert "going on as " in again.output.read_text()
    assert again.end() == 0
    assert "Traceback" not in again.output.read_text()


def test_a_version_that_the_registry_does_not_have_is_said(registry: Registry) -> None:
    error = CliRunner().invoke(app, ["rollout", "edge", "--which", "9"]).exception
    assert isinstance(error, InputError)
    assert "9" in str(error)


def test_a_setting_that_there_is_not_is_said() -> None:
    error = CliRunner().invoke(app, ["rollout", "edge", "--set", "prometheus.scrape=1"]).exception
    assert isinstance(error, InputError)
    assert "prometheus has no setting scrape. It has port, " in str(error)


def answering_version(running: Edge, folder: Path) -> str:
    (reading,) = predict_with_server(running.where["url"], [folder / "film.png"], name="secondread")
    return reading.to_json()["model_version"]


def get(url: str) -> int:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.status
