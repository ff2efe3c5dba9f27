"""The command line: help with examples, one line for an error, and the right exit code."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from secondread.cli.main import app

COMMANDS = [
    ["data", "ingest"],
    ["data", "preprocess"],
    ["pipeline", "compile"],
    ["pipeline", "run"],
    ["pipeline", "submit"],
    ["train"],
    ["evaluate"],
    ["quantize"],
    ["register"],
    ["serve"],
    ["predict"],
    ["loadtest"],
    ["doctor"],
]


def secondread(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    command = [sys.executable, "-m", "secondread", *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_shows_an_example(command: list[str]) -> None:
    text = CliRunner().invoke(app, [*command, "--help"]).output
    assert "Example" in text
    assert f"secondread {' '.join(command)}" in re.sub(r"\s+", " ", text)


def test_every_command_is_tested() -> None:
    text = CliRunner().invoke(app, ["--help"]).output
    named = set(re.findall(r"^│ (\w+) ", text, re.MULTILINE)) - {"data", "pipeline"}
    assert named == {command[0] for command in COMMANDS if len(command) == 1}


def assert_one_line(done: subprocess.CompletedProcess[str], words: str) -> None:
    lines = [line for line in done.stderr.splitlines() if not line.startswith(("I ", "W "))]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    assert re.search(words, lines[0]), lines[0]
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda root: root / "none", r"/none does not exist\. Use "),
        (lambda root: (root / "empty").mkdir() or root / "empty", r"/empty holds no images"),
        (lambda root: _csv(root, "path,kind\na.png,x\n"), r"manifest\.csv has no column 'label'.*Add it"),
        (lambda root: _csv(root, "path,label\nb.png,x\n"), r"line 2: path 'b\.png' does not exist.*Mend it"),
    ],
    ids=["missing folder", "empty folder", "no label column", "a path that does not exist"],
)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path, make: Callable[[Path], Path], words: str) -> None:
    source = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    done = secondread("data", "ingest", str(source), "--output", str(tmp_path / "out"))
    assert done.returncode == 2
    assert_one_line(done, words)
    assert sorted(tmp_path.rglob("*")) == before


def _csv(root: Path, text: str) -> Path:
    (root / "csv").mkdir()
    (root / "csv" / "manifest.csv").write_text(text)
    return root / "csv"


def test_the_pipeline_refuses_bad_input_before_it_starts(tmp_path: Path) -> None:
    done = secondread(
        "pipeline", "run", "train", "--data", str(tmp_path / "none"), SECONDREAD_HOME=str(tmp_path / "home")
    )
    assert done.returncode == 2
    assert_one_line(done, r"/none does not exist")
    assert not (tmp_path / "home").exists()


def test_a_class_too_small_to_split_is_exit_code_2(films: Callable[..., Path], tmp_path: Path) -> None:
    assert secondread("data", "ingest", str(films(normal=20, rare=2)), "--output", str(tmp_path / "in")).returncode == 0
    done = secondread("data", "preprocess", str(tmp_path / "in"), "--output", str(tmp_path / "out"))
    assert done.returncode == 2
    assert_one_line(done, r"class 'rare' has 2 .*at least 3 are needed")
    assert not (tmp_path / "out").exists()


def test_an_unwritable_output_is_exit_code_2(films: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = secondread("data", "ingest", str(films(normal=3, covid=3)), "--output", str(tmp_path / "file" / "out"))
    assert done.returncode == 2
    assert_one_line(done, r"cannot write .*/file/out")


def test_json_is_one_document_on_stdout(films: Callable[..., Path], tmp_path: Path) -> None:
    source = films(normal=3, covid=3)
    (source / "normal" / "broken.png").write_bytes(b"no picture")
    done = secondread("data", "ingest", str(source), "--output", str(tmp_path / "out"), "--json")
    document = json.loads(done.stdout)
    assert document["images"] == 6
    assert sum(document["rejected"].values()) == 1
    assert "broken.png" in done.stderr


def test_a_registry_without_the_model_is_exit_code_2(tmp_path: Path) -> None:
    done = secondread("serve", SECONDREAD_HOME=str(tmp_path))
    assert done.returncode == 2
    assert_one_line(done, r"no model 'secondread'.*pipeline run train")


def test_a_tracking_server_that_is_down_is_exit_code_3(tmp_path: Path) -> None:
    done = secondread("serve", SECONDREAD_HOME=str(tmp_path), MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert done.returncode == 3
    assert_one_line(done, r"MLflow at http://127\.0\.0\.1:9 does not answer")


def test_a_misspelt_option_is_exit_code_2() -> None:
    assert secondread("predict", "--modle", "x").returncode == 2


def test_a_misspelt_setting_names_the_stages() -> None:
    done = secondread("pipeline", "run", "train", "--set", "trian.epochs=3")
    assert done.returncode == 2
    assert_one_line(done, r"--set trian\.epochs=3: expected STAGE\.FIELD=VALUE with a stage of ingest")


def test_doctor_says_what_is_there(tmp_path: Path) -> None:
    done = secondread("doctor", "--json", "--triton", str(tmp_path / "none"))
    assert done.returncode == 3
    checks = {check["name"]: check for check in json.loads(done.stdout)}
    assert checks["torch"]["found"]
    assert not checks["Triton"]["found"]
    assert checks["Triton"]["remedy"] == "run scripts/setup-triton.sh"
