"""An evaluation is a run in MLflow below that of the training, and is not lost while MLflow is away."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from secondread.atomic import read_json, write_json
from secondread.config.evaluate import EvaluateConfig
from secondread.config.gate import GateConfig
from secondread.errors import DependencyError
from secondread.evaluation.evaluate import evaluate
from secondread.evaluation.labelled_images import LabelledImages
from secondread.model.folder import ModelFolder
from secondread.tracking import sender
from secondread.tracking.asked import Asked, flat
from secondread.tracking.evaluated import FILES, card_uri, log_evaluation
from secondread.tracking.evaluation_figures import figures_of
from secondread.tracking.origin import Origin
from secondread.tracking.record import RunRecord
from secondread.tracking.runs import TrackingConfig, open_client, open_run
from secondread.tracking.training_run import complete

CONFIG = EvaluateConfig(resamples=100, stress_images=12, strange_images=3, timed_runs=3, shown_images=0)
POLICY = GateConfig(accuracy_above=0.99, images_at_least=10)


@pytest.fixture(scope="module")
def uri(empty_mlflow: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """One database for all."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    shutil.copyfile(empty_mlflow, path)
    return f"sqlite:///{path}"


@pytest.fixture(scope="module")
def judged(tiny_model: ModelFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real evaluation, of 36 images of noise of 18 patients, women and men."""
    draw = np.random.default_rng(0)
    data = LabelledImages(
        images=draw.integers(0, 255, (36, 1, 32, 32), dtype=np.uint8),
        labels=np.arange(36) % 3,
        image_ids=np.array([f"{number:064x}" for number in range(36)], dtype=object),
        groups=np.array([f"secret patient {number // 2}" for number in range(36)], dtype=object),
        classes=tiny_model.config.taxonomy.names,
        preprocessing=tiny_model.config.preprocessing,
        name="noise",
        split="test",
        version="d" * 64,
        factors={"sex": np.array(["F", "M"] * 18, dtype=object)},
    )
    folder = tmp_path_factory.mktemp("judged") / "evaluation"
    evaluate(tiny_model, data, output=folder, policy=POLICY, config=CONFIG)
    return folder


@pytest.fixture
def origin(uri: str) -> Origin:
    """A training that has ended."""
    with open_run(TrackingConfig(uri, "secondread", {})) as run:
        run.log_metrics({"val_accuracy": 0.5}, step=1)
    return Origin(run.run_id)


def asked() -> Asked:
    settings = flat({"evaluate": asdict(CONFIG), "gate": asdict(POLICY)})
    return Asked("d" * 64, settings, {"git_revision": "4cc7934"})


def values(client: MlflowClient, run_id: str, name: str) -> list[float]:
    return [point.value for point in sorted(client.get_metric_history(run_id, name), key=lambda point: point.step)]


def test_figures_with_their_ends_the_gates_lines_and_the_files_are_read_back(
    uri: str, origin: Origin, judged: Path, tmp_path: Path
) -> None:
    what = asked()
    run_id = log_evaluation(uri, judged, what, origin=origin, beside=tmp_path / "evaluation")
    client, document = open_client(uri), read_json(judged / "evaluation.json")
    run = client.get_run(run_id)
    assert (run.info.status, run.info.start_time) == ("FINISHED", what.start)
    told = run.data.metrics
    assert told == pytest.approx(figures_of(document) | {name: told[name] for name in told if "corrupted/" in name})
    for end, name in (("value", "accuracy"), ("low", "accuracy_low"), ("high", "accuracy_high")):
        assert told[name] == document["metrics"]["accuracy"][end]
    assert told["recall/cxr-covid"] == document["per_class"]["cxr-covid"]["recall"]["value"]
    evidence = document["evidence"]
    assert told["turned_away/noise"] == evidence["not_my_field"]["kinds"]["noise"]["share"]
    assert told["turned_away/these_high"] == evidence["not_my_field"]["own"]["high"]
    assert told["latency_p99_ms"] == evidence["latency"]["p99_ms"]
    assert told["second_reader/closed_low"] == evidence["second_reader"]["closed"]["low"]
    assert told["subgroups/too_small"] > 0
    assert told["gate/passed"] == told["gate/accuracy_above"] == 0
    assert told["gate/images_at_least"] == 1
    noise = evidence["robustness"]["corruptions"]["noise"]
    as_they_are = evidence["robustness"]["clean"]["accuracy"]
    curve = [as_they_are, *(strength["accuracy"]["value"] for strength in noise)]
    assert values(client, run_id, "corrupted/accuracy/noise") == curve

    tags, params = run.data.tags, run.data.params
    assert tags["gate.passed"] == "false"
    assert tags["gate.images_at_least"].startswith("passed: ")
    assert tags["training_run"] == tags["mlflow.parentRunId"] == origin.run_id
    assert (tags["kind"], tags["git_revision"]) == ("evaluation", "4cc7934")
    expected = {"split": "test", "dataset_version": "d" * 64, "digest": document["digest"], "graph": "fp32.onnx"}
    settings = {"evaluate.resamples": "100", "gate.accuracy_above": "0.99", "evaluate.risk_dial.accepted": "0.01"}
    assert expected.items() | settings.items() <= params.items()

    kept = Path(client.download_artifacts(run_id, "", str(tmp_path)))
    assert {name: (kept / name).read_bytes() for name in FILES} == {
        name: (judged / name).read_bytes() for name in FILES
    }
    assert {"report.html", "evaluation.json", "MODEL_CARD.md", "predictions.parquet"} <= set(FILES)
    assert card_uri(run_id) == f"runs:/{run_id}/MODEL_CARD.md"
    assert not list(tmp_path.glob("*.tracking-*"))
    assert client.get_run(origin.run_id).data.metrics == {"val_accuracy": 0.5}, "the training is as it was"


def test_no_file_has_anything_of_a_patient(judged: Path) -> None:
    assert set(pd.read_parquet(judged / "predictions.parquet").columns) == {
        "image_id",
        "label",
        "predicted",
        "confidence",
        "probabilities",
    }
    for name in FILES:
        assert b"secret patient" not in (judged / name).read_bytes()


def test_of_a_gap_that_is_more_than_chance_the_figure_has_the_groups_name(judged: Path) -> None:
    document = read_json(judged / "evaluation.json")
    group = document["evidence"]["subgroups"]["factors"][0]["groups"][0]
    gap = {"figure": "sensitivity", "classes": ["cxr-covid"], "value": -0.3, "low": -0.5, "high": -0.1}
    group["gaps"] = [{**gap, "verdict": "worse"}]
    told = figures_of(document)
    assert told["subgroups/worse"] == 1
    assert told[f"gap/sex/{group['name']}/sensitivity/cxr-covid"] == -0.3
    assert told[f"gap/sex/{group['name']}/sensitivity/cxr-covid_high"] == -0.1


def test_a_name_that_mlflow_does_not_take_is_made_one_that_it_does(judged: Path) -> None:
    document = read_json(judged / "evaluation.json")
    document["per_class"]["cxr/état (früh)"] = {"recall": {"value": 0.5, "low": None, "high": None}}
    assert figures_of(document)["recall/cxr_état _früh_"] == 0.5
    assert "recall/cxr_état _früh__low" not in figures_of(document), "what cannot be known is left out"


def test_an_evaluation_without_evidence_or_training_is_told_too(uri: str, judged: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(judged, bare)
    write_json(bare / "evaluation.json", read_json(bare / "evaluation.json") | {"evidence": None})
    run = open_client(uri).get_run(log_evaluation(uri, bare, asked(), origin=Origin(), beside=bare))
    assert "accuracy_low" in run.data.metrics
    assert "training_run" not in run.data.tags


def test_while_mlflow_is_away_it_is_kept_and_one_run_comes_of_it_later(
    uri: str,
    origin: Origin,
    judged: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(sender, "_LAST_PAUSES", (0.0,))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    what, beside = asked(), tmp_path / "evaluation"
    nowhere = "http://user:hunter2@127.0.0.1:9"  # the port `discard`, which nothing listens on
    assert log_evaluation(nowhere, judged, what, origin=origin, beside=beside) == ""
    left = tmp_path / f"evaluation.tracking-{what.key[:8]}"
    assert f"complete it with `secondread train track --complete {left}`" in caplog.text
    assert "hunter2" not in caplog.text

    unnoted = Path(shutil.copytree(left, tmp_path / "killed before it noted the run"))

    def cut(*_: object, **__: object) -> None:
        raise MlflowException("Connection refused")

    with monkeypatch.context() as patch:  # it goes away once more, when the run was begun
        patch.setattr(MlflowClient, "log_batch", cut)
        with pytest.raises(DependencyError):
            complete(left, uri)
    begun = RunRecord.open(left)
    sent = complete(unnoted, uri)
    assert (sent.run_id, sent.ended) == (begun.run_id, True), "a run that nobody noted is found again"
    assert complete(left, uri) == sent
    assert not left.exists()
    assert log_evaluation(uri, judged, what, origin=origin, beside=beside) == sent.run_id
    run = open_client(uri).get_run(sent.run_id)
    assert run.data.tags["training_run"] == origin.run_id
    assert (run.info.status, run.info.start_time) == ("FINISHED", what.start)
    assert "accuracy_high" in run.data.metrics


def test_a_folder_that_cannot_take_the_record_fails_nothing(
    uri: str, judged: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    assert log_evaluation(uri, judged, asked(), origin=Origin(), beside=tmp_path / "file" / "evaluation") == ""
    assert "no record can be kept in" in caplog.text
