"""`secondread evaluate` on a set from elsewhere: classes by a file, the drop, and known failures."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from secondread.cli.main import app
from secondread.errors import InputError
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
