"""Under load the champion changes: nobody is refused, and every answer is right for the version that it names."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secondread.atomic import read_json
from secondread.config.environment import Environment
from secondread.model.folder import ModelFolder
from secondread.model.session import Outputs
from secondread.serving.front.server import Endpoints
from secondread.tracking.promotion import Decision, promote, rollback
from secondread.tracking.registry import Registry
from tests.serving.steady_load import Load

ROOT = Path(__file__).resolve().parents[2]
LOOK_SECONDS = 0.2


@pytest.fixture
def registry(models: list[ModelFolder], mlflow_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Two versions, of which the first is champion."""
    monkeypatch.setenv("SECONDREAD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
    made = Registry(mlflow_uri)
    for model in models[:2]:
        made.register(
            model,
            name="secondread",
            root=tmp_path / "models",
            tags={"gate.passed": "true"},
            environment=Environment.read(),
        )
    return made


@pytest.fixture
def champion(registry: Registry, tmp_path: Path, wait_until: Callable[..., None]) -> Iterator[Endpoints]:
    """`secondread serve`, which follows the champion."""
    ready, log = tmp_path / "ready.json", tmp_path / "server.log"
    command = [sys.executable, "-m", "secondread", "serve", "--follow", str(LOOK_SECONDS), "--ready-file", str(ready)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--http-port", "0", "--grpc-port", "0"], cwd=ROOT, stderr=output, env=dict(os.environ)
        )
    try:
        wait_until(lambda: ready.is_file() or process.poll() is not None, seconds=90, what="the server to listen")
        assert process.poll() is None, log.read_text()
        yield Endpoints(**read_json(ready))
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0, log.read_text()
    assert "Traceback" not in log.read_text()


def test_the_champion_changes_and_changes_back_under_load(
    champion: Endpoints,
    registry: Registry,
    models: list[ModelFolder],
    bare: Callable[..., Outputs],
    film: Callable[..., bytes],
    wait_until: Callable[..., None],
) -> None:
    who = {"decision": Decision("ada", "a try", force=True), "environment": Environment.read()}
    steps: list[Callable[[], object]] = [
        lambda: None,
        lambda: promote(registry, "secondread", "2", **who),
        lambda: rollback(registry, "secondread", **who),
    ]
    with Load(champion, film(1)) as load:
        for version, step in zip("121", steps, strict=True):
            begun = time.monotonic()
            step()
            wait_until(lambda: load.answered_since(begun, version=version), seconds=60, what=f"version {version}")  # noqa: B023
        served = get(f"{champion.url}/v2/models/secondread")
    assert served["versions"] == ["1", "2"]
    assert not load.broken
    assert {each.status for each in load.answers} == {"200", "OK"}
    said = {str(i): bare(model, film(1)).probabilities[0] for i, model in enumerate(models[:2], 1)}
    for each in load.answers:
        model, probabilities = models[int(each.version) - 1], said[each.version]
        assert each.digest == model.digest()
        assert each.label == model.config.taxonomy.names[probabilities.argmax()]
        np.testing.assert_allclose(each.probabilities, probabilities, atol=1e-6)
    counts = answered(champion)
    assert {version: counts[version] for version in "12"} == {
        version: sum(each.version == version for each in load.answers) for version in "12"
    }


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as response:
        return json.load(response)


def answered(server: Endpoints) -> dict[str, float]:
    """Requests that the server counted as answered, by version."""
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=30) as response:
        lines = response.read().decode().splitlines()
    head = 'secondread_requests_total{code="200",name="secondread",version="'
    found = [line.removeprefix(head) for line in lines if line.startswith(head)]
    return {line.partition('"')[0]: float(line.rpartition(" ")[2]) for line in found}
