"""Real runs of the scoring pipeline through KFP's local runner: films read by the registry's champion."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from secondread.atomic import sha256_file
from secondread.cli.main import app
from secondread.config.environment import Environment
from secondread.errors import GateRefused, InputError
from secondread.model.folder import ModelFolder
from secondread.pipeline.score_arguments import ScorePipelineSettings, score_arguments
from secondread.pipeline.score_run import ScoreRun, run_scoring
from secondread.pipeline.success import verify_success
from secondread.serving.batch.read import Scorer, score
from secondread.serving.batch.table import METADATA_KEY
from secondread.tracking import registry
from secondread.tracking.registry import RegisteredVersion, Registry

IMAGES = 24


@dataclass
class ScorePipeline:
    """The pipeline on a folder of films, with a registry of two versions."""

    home: Path
    films: Path

    def run(self, **changes: Any) -> ScoreRun:
        chosen = {"source": str(self.films), "publish_to": str(self.home / "readings"), "name": "cxr", **changes}
        return run_scoring(score_arguments(ScorePipelineSettings(**chosen)), home=self.home)


@pytest.fixture(scope="module")
def pipeline(
    tiny_model: ModelFolder, empty_mlflow: Path, film: Callable[..., bytes], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ScorePipeline]:
    made = ScorePipeline(tmp_path_factory.mktemp("scoring"), tmp_path_factory.mktemp("films"))
    for index in range(IMAGES - 1):
        (made.films / f"{index:02d}.png").write_bytes(film(index))
    (made.films / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n torn")
    (made.home / "mlflow").mkdir()
    shutil.copyfile(empty_mlflow, made.home / "mlflow" / "mlflow.db")
    other = made.home / "other"
    shutil.copytree(tiny_model.root, other)
    document = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**document, "name": "another"}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECONDREAD_HOME", str(made.home))
        known = Registry(Environment.read().mlflow_tracking_uri)
        for model in (tiny_model, ModelFolder.open(other)):
            known.register(
                model,
                name="cxr",
                root=made.home / "models",
                tags={"gate.passed": "true"},
                environment=Environment.read(),
            )
        yield made


@pytest.fixture(autouse=True)
def _at_home(pipeline: ScorePipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECONDREAD_HOME", str(pipeline.home))


@pytest.fixture(scope="module")
def first(pipeline: ScorePipeline) -> ScoreRun:
    return pipeline.run()


def test_the_champions_readings_are_delivered_whole(
    first: ScoreRun, pipeline: ScorePipeline, tiny_model: ModelFolder, tmp_path: Path
) -> None:
    assert (first.status, first.reason, tuple(first.seconds), first.cached) == (
        "delivered",
        "",
        ("score", "deliver"),
        (),
    )
    assert (first.images, first.unreadable, sum(first.labels.values())) == (IMAGES, 1, IMAGES - 1)
    assert sum(first.urgency.values()) == IMAGES - 1
    assert (first.model["version"], first.model["digest"]) == ("1", tiny_model.digest())
    table = pq.read_table(first.readings)
    score(str(pipeline.films), Scorer.of_folder(tiny_model.root), tmp_path / "alone.parquet")
    assert table.equals(pq.read_table(tmp_path / "alone.parquet"))
    assert json.loads(table.schema.metadata[METADATA_KEY])["model_version"] == "1"

    folder = Path(first.delivered).parent
    assert folder.parent == pipeline.home / "readings"
    assert folder.name == sha256_file(first.readings) == sha256_file(first.delivered)
    complete = json.loads((folder / "_COMPLETE.json").read_text())
    assert {name: entry["sha256"] for name, entry in complete["files"].items()} == {
        name: sha256_file(folder / name) for name in ("readings.parquet", "readings.html")
    }
    assert complete["model"]["digest"] == tiny_model.digest()


def test_kubeflows_pages_have_the_figures_and_a_page_that_names_no_film(first: ScoreRun) -> None:
    step = Path(first.readings).parents[1]
    assert verify_success(step / "readings", step="score")["images"] == IMAGES
    metrics = json.loads((step / "metrics").read_text())
    assert metrics["unreadable_share"] == 1 / IMAGES
    assert sum(value for name, value in metrics.items() if name.startswith("label.")) == IMAGES - 1
    assert sum(value for name, value in metrics.items() if name.startswith("urgency_share.")) == pytest.approx(1)
    page = (step / "report").read_text()
    assert page == Path(first.report).read_text()
    assert "torn.png" not in page
    assert "script" not in page
    assert f"{IMAGES} images, 1 of them unreadable" in page


def test_a_second_run_reads_no_image_and_sends_nothing(first: ScoreRun, pipeline: ScorePipeline) -> None:
    before = Path(first.delivered).stat().st_mtime_ns
    again = pipeline.run()
    assert (again.cached, tuple(again.seconds)) == (("score",), ("score", "deliver"))
    assert (again.delivered, again.labels) == (first.delivered, first.labels)
    assert Path(first.delivered).stat().st_mtime_ns == before


def test_too_many_unreadable_images_are_a_gates_no_and_another_limit_reads_none_again(
    first: ScoreRun, pipeline: ScorePipeline
) -> None:
    """One JSON document on stdout, and exit code 4."""
    options = ["--data", str(pipeline.films), "--name", "cxr", "--publish-to", str(pipeline.home / "refused")]
    strict = ["--set", "score.unreadable_at_most=0.04", "--json"]
    done = CliRunner().invoke(app, ["pipeline", "run", "batch-score", *options, *strict])
    assert isinstance(done.exception, GateRefused)
    assert "1 of 24 images cannot be read, 4.2 %, and score.unreadable_at_most is 4 %" in str(done.exception)
    document = json.loads(done.stdout)
    assert (document["status"], document["cached"], document["delivered"]) == ("refused", ["score"], "")
    assert Path(document["readings"]).is_file()
    assert not (pipeline.home / "refused").exists()


def test_another_image_or_model_is_never_taken_from_the_cache(
    first: ScoreRun, pipeline: ScorePipeline, film: Callable[..., bytes]
) -> None:
    challenger = pipeline.run(which="challenger")
    assert (challenger.cached, challenger.model["version"]) == ((), "2")
    assert challenger.delivered != first.delivered
    by_number = pipeline.run(which="2")
    assert by_number.cached == ("score",), "an alias and its number are one model"
    kept = (pipeline.films / "00.png").read_bytes()
    try:
        (pipeline.films / "00.png").write_bytes(film(99))
        assert pipeline.run().cached == ()
    finally:
        (pipeline.films / "00.png").write_bytes(kept)


def test_the_logs_name_no_film(first: ScoreRun, pipeline: ScorePipeline) -> None:
    logs = "".join(path.read_text() for path in pipeline.home.glob("runs/*/log.txt"))
    assert "deliver" in logs
    assert "torn" not in logs
    assert "00.png" not in logs


def test_pods_are_given_stores_and_nothing_of_this_machine(pipeline: ScorePipeline, tmp_path: Path) -> None:
    there = {"publish_to": "s3://films/readings", "name": "cxr"}
    phantoms = {**there, "source": "phantom://cxr?images=3"}

    def refused(said: str, **chosen: Any) -> None:
        with pytest.raises(InputError, match=said):
            score_arguments(ScorePipelineSettings(**chosen), remote=True)

    refused("is a path of this machine, which a pod cannot reach", source=str(pipeline.films), **there)
    refused("the store '/mnt' is a folder", **{**phantoms, "publish_to": "/mnt"})
    refused("the model repository '/mnt' is a folder", repository="/mnt", **phantoms)
    refused("which version is 'champion' cannot be asked here", **phantoms)
    given = score_arguments(ScorePipelineSettings(**phantoms, which="3"), remote=True)
    assert (given["model_version"], given["model_repository"], given["model_digest"]) == ("3", "", "")
    assert str(tmp_path) not in json.dumps(given)


def test_a_teams_registry_is_asked_which_version_pods_are_to_read_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """An alias is another model tomorrow, which no cache on a cluster would notice."""
    champion = RegisteredVersion("cxr", 7, "d" * 64, "s3://models/cxr/" + "d" * 64, "champion", "")

    class Server:
        def __init__(self, uri: str) -> None:
            assert uri == "http://mlflow:8000"

        def get(self, name: str, which: str) -> RegisteredVersion:
            assert (name, which) == ("cxr", "champion")
            return champion

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:8000")
    monkeypatch.setattr(registry, "Registry", Server)
    settings = ScorePipelineSettings("phantom://cxr?images=3", "s3://films/readings", name="cxr")
    given = score_arguments(settings, remote=True)
    assert (given["model_version"], given["model_repository"], given["model_digest"]) == (
        "7",
        champion.storage_uri,
        "d" * 64,
    )
    champion = replace(champion, storage_uri="/home/me/models")
    with pytest.raises(InputError, match="the repository of version 7 '/home/me/models' is a folder"):
        score_arguments(settings, remote=True)


def test_a_setting_that_is_none_is_refused_before_anything_runs() -> None:
    for settings, said in (
        ({"unreadable_at_most": 2}, "score.unreadable_at_most must be a share from 0 to 1"),
        ({"max_unreadable": 1}, "score has no setting max_unreadable"),
        ({"engine": "spark"}, "engine must be local or ray"),
    ):
        with pytest.raises(InputError, match=said):
            ScorePipelineSettings("films", "readings", score=settings)
