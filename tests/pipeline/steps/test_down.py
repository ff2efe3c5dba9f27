"""A store, registry or catalogue that is down: the step says so, and the same step tried again does its work."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from secondread.config.environment import Environment
from secondread.data.store.open import open_object_store, open_store
from secondread.data.store.publish import published
from secondread.errors import DependencyError
from secondread.pipeline.steps.ingest import ingest
from secondread.pipeline.steps.publish import publish
from secondread.pipeline.steps.register import register
from secondread.pipeline.success import failures
from secondread.pipeline.train_run import TrainRun

NOWHERE = "127.0.0.1:9"  # the port `discard`, which nothing listens on


def check_down(step: Callable[[], dict[str, Any]], record: str, *, said: str) -> None:
    with pytest.raises(SystemExit) as ended:
        step()
    assert ended.value.code == DependencyError.exit_code
    (failure,) = failures(Path(record).parent)
    assert said in failure.message
    assert "\n" not in failure.message


def check_done(step: Callable[[], dict[str, Any]], record: str) -> dict[str, Any]:
    """The facts of a step that is tried again in the same place; its failure is forgotten."""
    facts = step()
    assert failures(Path(record).parent) == []
    return facts


@pytest.fixture(autouse=True)
def _asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's client would wait for seconds and ask again."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


@pytest.fixture
def in_swift(swift, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The server, with its credentials in the environment."""
    for name, value in swift.variables().items():
        monkeypatch.setenv(name, value)
    swift.make_container("down")
    return swift


def test_publish_to_a_store_that_was_down_is_done_when_tried_again(made: Any, record: str, in_swift) -> None:
    def step() -> dict[str, Any]:
        return publish(made.dataset, made.findings, record, publish_to="swift://down/versions")

    in_swift.kill()
    check_down(step, record, said="does not answer")
    in_swift.start()
    facts = check_done(step, record)
    (found,) = published(open_store("swift://down/versions", Environment.read()))
    assert facts["uri"].endswith(found.content_hash)


def test_ingest_from_a_store_that_was_down_is_done_when_tried_again(
    in_swift, record: str, film: Callable[[int], bytes]
) -> None:
    store = open_object_store("s3://down/films", Environment.read())
    for number in range(6):
        data = film(number)
        store.write(f"{'ab'[number % 2]}/{number}.png", data, sha256=hashlib.sha256(data).hexdigest())

    def step() -> dict[str, Any]:
        return ingest("s3://down/films", record, settings={})

    in_swift.kill()
    check_down(step, record, said="does not answer")
    in_swift.start()
    assert check_done(step, record)["images"] == 6


def test_publish_without_catalogue_or_mlflow_is_done_when_tried_again(
    made: Any, record: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step() -> dict[str, Any]:
        return publish(made.dataset, made.findings, record, publish_to=str(tmp_path / "kept"))

    monkeypatch.setenv("SECONDREAD_CATALOGUE_URI", f"postgresql://reader@{NOWHERE}/films")
    check_down(step, record, said="the catalogue")
    monkeypatch.delenv("SECONDREAD_CATALOGUE_URI")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{NOWHERE}")
    check_down(step, record, said="MLflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    facts = check_done(step, record)
    assert facts["catalogued"]
    assert facts["mlflow_run"]


def test_register_without_mlflow_is_done_when_tried_again(
    first_run: TrainRun, record: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step() -> dict[str, Any]:
        judged = str(Path(first_run.report).parent)
        root = str(tmp_path / "models")
        return register(first_run.model, judged, record, name="tiny", root=root)

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{NOWHERE}")
    check_down(step, record, said="MLflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert check_done(step, record)["version"] == 1
