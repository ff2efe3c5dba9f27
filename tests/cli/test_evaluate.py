"""`secondread evaluate` on a set from elsewhere: classes by a file, the drop, and known failures."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from secondread.cli.main import app
from secondread.errors import GateRefused, InputError
from secondread.model.folder import ModelFolder

QUICK = [
    f"--set=evaluate.{name}"
    for name in ("resamples=100", "stress_images=0", "strange_images=0", "timed_runs=0", "shown_images=0")
]


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
