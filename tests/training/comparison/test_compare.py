"""A comparison of real trainings, from the command line to the page and to MLflow."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from secondread.cli.main import app
from secondread.config.preprocess import PreprocessConfig
from secondread.config.train import TrainConfig
from secondread.data.versions.dataset import DatasetVersion
from secondread.data.versions.version import write_dataset_version
from secondread.errors import DependencyError, InputError
from secondread.model.folder import ModelFolder
from secondread.tracking.runs import open_client
from secondread.tracking.training_run import complete
from secondread.training.comparison.compare import Comparison, compare
from secondread.training.judge import judge

SETTINGS = ("preset=vit-test-32", "epochs=2", "batch_size=8", "learning_rate=0.01", "mixup_alpha=0", "threads=1")


@pytest.fixture(scope="module")
def compared(dataset: DatasetVersion, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict, str]]:
    """The output, what was printed, and where MLflow is."""
    root = tmp_path_factory.mktemp("comparison")
    uri = f"sqlite:///{root}/mlflow/mlflow.db"
    settings = [word for pair in SETTINGS for word in ("--set", f"train.{pair}")]
    words = ["--strategies", "single,retrain", "--seeds", "3", "--output", str(root / "out"), "--json"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        patch.setenv("SECONDREAD_HOME", str(root))
        done = CliRunner().invoke(app, ["train", "compare", "--data", str(dataset.root), *words, *settings])
        assert done.exit_code == 0, done.output
        yield root / "out", json.loads(done.stdout), uri


def test_figures_are_those_of_the_models_graphs_on_val(compared: tuple, dataset: DatasetVersion) -> None:
    output, record, _ = compared
    assert [(run["strategy"], run["seed"]) for run in record["runs"]] == [("single", 3), ("retrain", 3)]
    for run in record["runs"]:
        model = ModelFolder.open(output / f"{run['strategy']}-3" / "model")
        _, figures = judge(model, dataset.split("val"), threads=1)
        assert run["metrics"] == pytest.approx(figures, abs=1e-6)
        assert run["wall_seconds"] > run["seconds"] > 0
        assert 200 < run["peak_memory_mib"] < 4_000  # torch alone is 200 MiB
        assert run["images_per_second"] > 0
    accuracy = [run["metrics"]["accuracy"] for run in record["runs"]]
    assert record["strategies"]["retrain"]["accuracy_minus_single"]["value"] == pytest.approx(accuracy[1] - accuracy[0])
    assert record["split"] == "val"


def test_retrain_begins_with_the_weights_of_single(compared: tuple) -> None:
    """Two more epochs from there read better than two from nothing."""
    output, record, _ = compared
    job = json.loads((output / "retrain-3" / "job.json").read_text())
    assert Path(job["start"]).parts[-2:] == ("single-3", "model")
    single, retrain = (run["metrics"]["loss"] for run in record["runs"])
    assert retrain < single


def test_the_page_stands_alone_and_shows_every_strategy(compared: tuple) -> None:
    output, record, _ = compared
    page = (output / "comparison.html").read_text()
    assert not re.search(r"<script|https?://|src=\"(?!data:)", page.replace("http://www.w3.org", ""))
    for run in record["runs"]:
        assert f"{run['strategy']}, seed 3: {run['metrics']['accuracy']:.4f}" in page
    assert json.loads((output / "comparison.json").read_text()) == {
        key: value for key, value in record.items() if key != "output"
    }


def test_the_trainings_are_runs_below_the_comparisons_run(compared: tuple) -> None:
    _, record, uri = compared
    client = open_client(uri)
    experiment = client.get_experiment_by_name("secondread")
    runs = {run.info.run_id: run for run in client.search_runs([experiment.experiment_id])}
    (parent,) = [run for run in runs.values() if "mlflow.parentRunId" not in run.data.tags]
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["single_accuracy"] == pytest.approx(record["runs"][0]["metrics"]["accuracy"])
    files = {item.path for item in client.list_artifacts(parent.info.run_id, "comparison")}
    assert files == {"comparison/comparison.html", "comparison/comparison.json"}
    for one in record["runs"]:
        run = runs[one["run_id"]]
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert (run.data.tags["strategy"], run.data.tags["seed"]) == (one["strategy"], "3")
        assert run.data.metrics["peak_memory_mib"] == pytest.approx(one["peak_memory_mib"])
    assert len(runs) == 3


def test_an_mlflow_that_goes_away_is_told_of_the_comparison_later(
    dataset: DatasetVersion,
    quick: Callable[..., TrainConfig],
    mlflow_uri: str,
    tmp_path: Path,
    mlflow_gone_with_the_first_figure: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    output, chosen = tmp_path / "out", Comparison(("single",), (0,))
    record = compare(dataset, output, quick(epochs=1), chosen, tracking_uri=mlflow_uri)
    (whole,) = tmp_path.glob("out.tracking-*")
    cost = output / "single-0" / "measured.tracking"  # of a training that ended while MLflow was there
    for left in (whole, cost):
        assert f"complete it with `secondread train track --complete {left}`" in caplog.text

    mlflow_gone_with_the_first_figure.undo()  # it is back
    parent, training = (complete(left, mlflow_uri) for left in (whole, cost))
    client = open_client(mlflow_uri)
    told = client.get_run(parent.run_id)
    assert (told.info.status, parent.ended) == ("FINISHED", True)
    assert told.data.metrics["single_accuracy"] == pytest.approx(record["runs"][0]["metrics"]["accuracy"])
    assert training.run_id == record["runs"][0]["run_id"]
    run = client.get_run(training.run_id)
    assert run.data.tags["mlflow.parentRunId"] == parent.run_id
    assert run.data.metrics["wall_seconds"] == pytest.approx(record["runs"][0]["wall_seconds"])


def test_the_runs_of_a_comparison_that_was_killed_end_with_the_next_one(
    dataset: DatasetVersion,
    quick: Callable[..., TrainConfig],
    killed_at: Callable[[str], AbstractContextManager[None]],
    mlflow_uri: str,
    tmp_path: Path,
) -> None:
    """It compares something else, and cannot go on with them."""
    with killed_at("secondread.training.comparison.compare._done"):
        compare(dataset, tmp_path / "out", quick(epochs=1), Comparison(("single",), (0,)), tracking_uri=mlflow_uri)
    compare(dataset, tmp_path / "out", quick(epochs=1), Comparison(("single",), (1,)), tracking_uri=mlflow_uri)
    client = open_client(mlflow_uri)
    (experiment,) = client.search_experiments(filter_string="name = 'secondread'")
    runs = client.search_runs([experiment.experiment_id])
    told = {run.data.params.get("seeds", "a training"): run.info.status for run in runs}
    assert told == {"(0,)": "KILLED", "(1,)": "FINISHED", "a training": "FINISHED"}


def test_the_address_of_mlflow_is_in_no_file(compared: tuple) -> None:
    """It may hold a password."""
    output, _, uri = compared
    for path in output.rglob("*.json"):
        assert uri not in path.read_text()


def test_a_strategy_that_is_not_installed_is_said_before_anything_is_trained(
    dataset: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    chosen = Comparison(("single", "ray"), (0,))
    with pytest.raises(DependencyError, match=r"ray needs the package ray: pip install 'secondread\[ray\]'"):
        compare(dataset, tmp_path / "out", TrainConfig(), chosen)
    assert not list(tmp_path.iterdir())


def test_what_is_judged_may_not_be_retrained_on(dataset: DatasetVersion, tmp_path: Path) -> None:
    """As where the same films were dealt anew, and most of what models are judged on is in train."""
    ingested, size = dataset.root.parent / "ingested", dataset.image_size
    anew = write_dataset_version(ingested, tmp_path / "anew", PreprocessConfig(image_size=size, split_seed=1))
    chosen = Comparison(("single", "retrain"), (0,))
    with pytest.raises(InputError, match=r"of 36 images that models are judged on \(val of .*\) are learned from in"):
        compare(dataset, tmp_path / "out", TrainConfig(), chosen, retrain_on=anew)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"strategies": ("single", "horovod")}, "there is no 'horovod' to compare"),
        ({"strategies": ("ddp", "retrain")}, "compare both"),
        ({"strategies": ("single",), "seeds": (0, 0)}, "seeds must be at least one, and each one once"),
        ({"strategies": ("single",), "split": "train"}, "split must be val or test"),
    ],
)
def test_what_cannot_be_compared_is_refused(settings: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Comparison(**settings)


def test_retrain_comes_after_what_it_begins_with() -> None:
    chosen = Comparison(("retrain", "single", "ddp"), (0, 1))
    assert chosen.runs == [(name, seed) for seed in (0, 1) for name in ("single", "ddp", "retrain")]


def test_seeds_that_are_no_numbers_are_one_line_and_exit_code_2(dataset: DatasetVersion, tmp_path: Path) -> None:
    words = ["--data", str(dataset.root), "--output", str(tmp_path / "out"), "--seeds", "a,b"]
    done = CliRunner().invoke(app, ["train", "compare", *words])
    assert isinstance(done.exception, InputError)
    assert done.exception.exit_code == 2
