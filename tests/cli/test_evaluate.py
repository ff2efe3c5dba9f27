"""`secondread evaluate` on a set from elsewhere: classes by a file, the drop, and known failures."""

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from secondread.cli.main import app
from secondread.config.environment import Environment
from secondread.errors import GateRefused, InputError
from secondread.model.folder import ModelFolder
from secondread.tracking import sender
from secondread.tracking.origin import Origin
from secondread.tracking.runs import open_client

QUICK = [
    f"--set=evaluate.{name}"
    for name in ("resamples=100", "stress_images=0", "strange_images=0", "timed_runs=0", "shown_images=0")
]


@pytest.fixture(autouse=True)
def _own_mlflow(mlflow_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One without runs that is made already, which takes MLflow seconds."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)


def evaluate(model: ModelFolder, data: Path, *options: str):
    command = ["evaluate", "--model", str(model.root), "--data", str(data), *QUICK, *options]
    return CliRunner().invoke(app, command, catch_exceptions=True)


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    path = tmp_path / "classes.yaml"
    path.write_text("map: {covid: cxr-covid, viral: cxr-covid, NORMAL: cxr-normal}\n", encoding="utf-8")
    return path


def test_a_set_is_judged_by_the_file_and_held_against_the_models_own_test(
    tiny_model: ModelFolder, films: Callable[..., Path], classes: Path, tmp_path: Path
) -> None:
    own, other = films("own", cxr_normal=6, cxr_covid=6), films("other", NORMAL=4, covid=3, viral=2, hernia=5)
    done = evaluate(tiny_model, own, "--output", str(tmp_path / "internal"))
    assert done.exit_code == 0, done.output
    options = ["--classes", str(classes), "--against", str(tmp_path / "internal")]
    done = evaluate(tiny_model, other, *options, "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["n"] == 9
    assert document["class_names"] == {"NORMAL": "cxr-normal", "covid": "cxr-covid", "viral": "cxr-covid"}
    assert [(each["name"], each["n"]) for each in document["apart"]] == [("hernia", 5)]
    assert document["present"] == document["drop"]["classes"] == ["cxr-normal", "cxr-covid"]
    told = evaluate(tiny_model, other, *options)
    assert "accuracy, less its test" in told.output
    assert "5 of hernia" in told.output


def test_a_name_that_is_misspelt_is_refused(tiny_model: ModelFolder, films: Callable[..., Path], classes: Path) -> None:
    done = evaluate(tiny_model, films(NORMAL=2, covid=2, virall=2), "--classes", str(classes))
    assert isinstance(done.exception, InputError)
    assert "map names 'viral', which is no class of" in str(done.exception)
    assert "Did you mean 'virall'?" in str(done.exception)


@pytest.mark.parametrize("given", ["file", "setting", "setting above the file"])
def test_a_gate_that_was_asked_for_and_says_no_is_exit_code_4(
    tiny_model: ModelFolder, films: Callable[..., Path], tmp_path: Path, given: str
) -> None:
    gate = tmp_path / "gate.yaml"
    gate.write_text(f"accuracy_above: {0.0 if 'above' in given else 1.0}\nimages_at_least: 3\n", encoding="utf-8")
    by = {"file": ["--gate", str(gate)], "setting": ["--set", "gate.accuracy_above=1.0"]}
    options = by["file"] + by["setting"] if "above" in given else by[given]
    done = evaluate(tiny_model, films(cxr_normal=6, cxr_covid=6), *options)
    assert isinstance(done.exception, GateRefused)
    assert done.exception.exit_code == 4
    assert "is not above 1" in str(done.exception)
    assert ("at least 3 asked" in str(done.exception)) is (given != "setting")


def test_what_nobody_asked_for_refuses_nothing(tiny_model: ModelFolder, films: Callable[..., Path]) -> None:
    """A model that knows nothing is below the default of 0.7: that is told, and no error."""
    done = evaluate(tiny_model, films(cxr_normal=6, cxr_covid=6))
    assert (done.exit_code, "gate refused" in done.output) == (0, True), done.output


def test_a_champion_is_compared_with_on_the_same_images(tiny_model: ModelFolder, films: Callable[..., Path]) -> None:
    own = films(cxr_normal=6, cxr_covid=6)
    margin = ["--set", "gate.accuracy_above=null", "--set", "gate.accuracy_margin_points=100"]
    alone = evaluate(tiny_model, own, *margin)
    assert "no champion was named" in str(alone.exception)
    done = evaluate(tiny_model, own, *margin, "--champion", str(tiny_model.root), "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["evidence"]["champion"]["digest"] == tiny_model.digest()


def test_a_setting_within_a_setting_is_named_by_its_path(tiny_model: ModelFolder, films: Callable[..., Path]) -> None:
    own = films(cxr_normal=6, cxr_covid=6)
    done = evaluate(tiny_model, own, "--set", "evaluate.first_reader.sensitivity=0.8", "--json")
    assert json.loads(done.stdout)["evidence"]["second_reader"]["reader"]["sensitivity"] == 0.8
    wrong = evaluate(tiny_model, own, "--set", "evaluate.first_reader.sensitivity=2")
    assert str(wrong.exception).startswith("evaluate.first_reader.sensitivity must be a share")
    whole = evaluate(tiny_model, own, "--set", "evaluate.first_reader=0.8")
    assert "evaluate.first_reader must be a mapping of settings" in str(whole.exception)
    unknown = evaluate(tiny_model, own, "--set", "evaluate.first_reader.sens=0.8")
    assert str(unknown.exception).startswith("evaluate.first_reader has no setting sens. It has sensitivity, shared")


def test_known_failures_are_a_line_of_the_gate(
    tiny_model: ModelFolder, films: Callable[..., Path], tmp_path: Path
) -> None:
    gate = tmp_path / "gate.yaml"
    gate.write_text("accuracy_above: null\nknown_failures_mended_at_least: 0\n", encoding="utf-8")
    own, cases = films(cxr_normal=6, cxr_covid=6), Path(__file__).parents[2] / "docs" / "known-failures"
    refused = evaluate(tiny_model, own, "--gate", str(gate))
    assert "no known failure was run" in str(refused.exception)
    passed = evaluate(tiny_model, own, "--gate", str(gate), "--known-failures", str(cases), "--json")
    assert passed.exit_code == 0, passed.output
    assert len(json.loads(passed.stdout)["evidence"]["known_failures"]["cases"]) == 3


def tracked(model: ModelFolder, folder: Path) -> ModelFolder:
    """The model as a training left it that is run `trained` in MLflow."""
    shutil.copytree(model.root, folder)
    Origin("trained").write(folder)
    return ModelFolder.open(folder)


@pytest.mark.parametrize("kept", [True, False], ids=["with --output", "without"])
def test_it_is_a_run_in_mlflow_with_the_report_and_that_of_the_training_above_it(
    tiny_model: ModelFolder, films: Callable[..., Path], tmp_path: Path, mlflow_uri: str, kept: bool
) -> None:
    options = ["--output", str(tmp_path / "kept")] if kept else []
    done = evaluate(tracked(tiny_model, tmp_path / "model"), films(cxr_normal=6, cxr_covid=6), *options, "--json")
    document = json.loads(done.stdout)
    client = open_client(mlflow_uri)
    run = client.get_run(document["mlflow_run"])
    assert client.get_experiment(run.info.experiment_id).name == tiny_model.config.name
    assert run.data.metrics["accuracy"] == document["metrics"]["accuracy"]["value"]
    assert run.data.tags["training_run"] == "trained"
    assert (run.data.params["evaluate.resamples"], run.data.params["gate.accuracy_above"]) == ("100", "0.7")
    assert {"report.html", "predictions.parquet"} <= {item.path for item in client.list_artifacts(run.info.run_id)}
    assert (tmp_path / "kept" / "report.html").is_file() is kept


def test_a_model_that_the_gate_refuses_is_written_down_all_the_same(
    tiny_model: ModelFolder, films: Callable[..., Path], mlflow_uri: str
) -> None:
    done = evaluate(tiny_model, films(cxr_normal=6, cxr_covid=6), "--set", "gate.accuracy_above=1.0")
    assert isinstance(done.exception, GateRefused)
    client = open_client(mlflow_uri)
    (run,) = client.search_runs([client.get_experiment_by_name(tiny_model.config.name).experiment_id])
    assert run.data.tags["gate.passed"] == "false"
    assert run.data.metrics["gate/accuracy_above"] == 0


def test_an_mlflow_that_is_away_fails_no_evaluation(
    tiny_model: ModelFolder, films: Callable[..., Path], mlflow_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "_LAST_PAUSES", (0.0,))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # the port `discard`, which nothing listens on
    done = evaluate(tiny_model, films(cxr_normal=6, cxr_covid=6), "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert (document["n"], document["mlflow_run"]) == (12, "")
    (left,) = Environment.read().home.glob("evaluation.tracking-*")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
    sent = CliRunner().invoke(app, ["train", "track", "--complete", str(left), "--json"])
    run = open_client(mlflow_uri).get_run(json.loads(sent.stdout)["run"])
    assert run.data.metrics["accuracy"] == document["metrics"]["accuracy"]["value"]


def test_without_the_package_mlflow_a_line_says_so_and_the_evaluation_is_done(
    tiny_model: ModelFolder, films: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda *name: None if name[0] == "mlflow" else found(*name))
    done = evaluate(tiny_model, films(cxr_normal=6, cxr_covid=6), "--json")
    assert json.loads(done.stdout)["mlflow_run"] == ""
    assert "MLflow is not installed" in done.stderr
