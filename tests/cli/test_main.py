"""The command line: help with examples, one line for an error, and the right exit code."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from secondread.cli.data import _none_set_aside
from secondread.cli.main import app
from secondread.config.preprocess import PreprocessConfig
from secondread.doctor import diagnose
from secondread.errors import InputError
from secondread.model.folder import ModelFolder
from secondread.serving.local.triton_installation import TritonInstallation
from secondread.tracking.origin import Origin
from secondread.tracking.runs import open_client

COMMANDS = [
    ["data", "ingest"],
    ["data", "preprocess"],
    ["data", "diff"],
    ["data", "augment"],
    ["data", "catalogue", "add"],
    ["data", "catalogue", "list"],
    ["data", "catalogue", "query"],
    ["data", "catalogue", "history"],
    ["data", "download"],
    ["pipeline", "compile"],
    ["pipeline", "run"],
    ["pipeline", "submit"],
    ["train"],
    ["train", "submit"],
    ["train", "cv"],
    ["train", "compare"],
    ["evaluate"],
    ["quantize"],
    ["register"],
    ["register", "list"],
    ["register", "promote"],
    ["register", "rollback"],
    ["register", "key"],
    ["serve"],
    ["predict"],
    ["explain"],
    ["batch"],
    ["loadtest"],
    ["second-read", "close"],
    ["second-read", "audit"],
    *(
        ["rollout", each]
        for each in ("edge", "start", "control", "status", "pause", "resume", "promote", "rollback", "history")
    ),
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


def test_data_commands_are_listed_in_the_order_of_work() -> None:
    text = CliRunner().invoke(app, ["data", "--help"]).output
    listed = re.findall(r"^│ (\w+) ", text, re.MULTILINE)
    assert " ".join(listed) == ("download ingest audit preprocess diff augment publish list fetch catalogue dashboard")


def test_only_ingested_images_are_preprocessed(tmp_path: Path) -> None:
    done = secondread("data", "preprocess", str(tmp_path), "--output", str(tmp_path / "out"))
    assert done.returncode == 2
    assert_one_line(done, r"holds no ingested images \(no source\.json\)\. Run data ingest")


def test_every_command_is_tested() -> None:
    text = CliRunner().invoke(app, ["--help"]).output
    named = set(re.findall(r"^│ (\w[\w-]*) ", text, re.MULTILINE)) - {"data", "pipeline", "second-read", "rollout"}
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


def test_options_of_the_pixel_path_are_in_the_version(films: Callable[..., Path], tmp_path: Path) -> None:
    assert secondread("data", "ingest", str(films(normal=9, rare=9)), "--output", str(tmp_path / "in")).returncode == 0
    command = ["data", "preprocess", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--image-size", "16"]
    done = secondread(*command, "--clahe", "--trim-borders", "--json")
    assert done.returncode == 0, done.stderr
    settings = json.loads(done.stdout)["settings"]
    assert (settings["contrast"], settings["trim_borders"]) == ("clahe", True)
    stored = json.loads((tmp_path / "out" / "dataset.json").read_text())["preprocessing"]
    assert (stored["contrast"], stored["trim_borders"]) == ("clahe", True)


def test_a_small_version_says_why_it_has_no_final_eval(films: Callable[..., Path], tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["data", *arguments], catch_exceptions=False)
        assert done.exit_code == 0
        return done.stdout

    run("ingest", str(films(normal=9, rare=9)), "--output", str(tmp_path / "in"))
    told = run("preprocess", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--image-size", "16")
    (line,) = [line for line in told.splitlines() if line.startswith("final_eval")]
    assert re.match(r"final_eval +none: below 2,000 images .*--set preprocess\.final_eval_min_images=N", line)


def test_the_line_about_final_eval_is_left_out_where_there_is_one_or_images_enough() -> None:
    large, small = PreprocessConfig(final_eval_min_images=20), PreprocessConfig(final_eval_min_images=21)
    counts = {"train": {"a": 10, "b": 5}, "test": {"a": 5}}
    assert _none_set_aside(counts, large) == {}
    assert _none_set_aside(counts, small)["final_eval"].startswith("none: below 21 images")
    assert _none_set_aside(counts | {"final_eval": {"a": 1}}, small) == {}


def test_an_unwritable_output_is_exit_code_2(films: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = secondread("data", "ingest", str(films(normal=3, covid=3)), "--output", str(tmp_path / "file" / "out"))
    assert done.returncode == 2
    assert_one_line(done, r"cannot write .*/file/out")


def test_names_of_files_can_be_kept_from_the_log(films: Callable[..., Path], tmp_path: Path) -> None:
    source = films(normal=3, covid=3)
    (source / "normal" / "doe-jane.png").write_bytes(b"no picture")
    done = secondread("data", "ingest", str(source), "--output", str(tmp_path / "out"), "--hide-names")
    assert done.returncode == 0
    assert "left out" in done.stderr
    assert "doe-jane" not in done.stderr + done.stdout


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


@pytest.mark.parametrize(
    "command", [("pipeline", "run", "train", "--data", "phantom://cxr?images=9"), ("serve",)], ids=" ".join
)
def test_a_home_that_cannot_be_written_is_exit_code_2(tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "file").touch()
    done = secondread(*command, SECONDREAD_HOME=str(tmp_path / "file" / "home"))
    assert done.returncode == 2
    assert_one_line(done, r"cannot write .*/file/home/.*SECONDREAD_HOME")


def test_a_token_file_that_is_not_there_is_exit_code_2(tmp_path: Path) -> None:
    missing = tmp_path / "token"
    there = ("--host", "http://127.0.0.1:9", "--models-to", "s3://models")
    done = secondread("pipeline", "submit", *there, "--token-file", str(missing))
    assert done.returncode == 2
    assert_one_line(done, rf"cannot read --token-file {missing}: No such file")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "data", "--min-accuracy", "0.9"), r"--min-accuracy is no option of the pipeline data, but of train"),
        (("run", "train", "--publish-to", "s3://x/y"), r"--publish-to is no option of the pipeline train, but of data"),
        (("run", "data", "--gate", "gate.yaml"), r"--gate is no option of the pipeline data, but of train and retrain"),
        (("run", "train", "--gate", "/nowhere/gate.yaml"), r"cannot read the gate policy /nowhere/gate\.yaml"),
        (("run", "train", "--gate", "docs/gate.yaml"), r"gate\.accuracy_margin_points asks for the champion"),
        (("run", "retrain", "--split-seed", "1"), r"--split-seed is no option of the pipeline retrain"),
        (("run", "retrain"), r"retrain needs --data: the child version"),
        (("submit", "train", "--host", "http://x", "--node-selector", "gpu"), r"--node-selector takes KEY=VALUE"),
        (("submit", "data", "--host", "http://x", "--accelerator", "nvidia.com/gpu"), r"--accelerator is no option"),
        (("run", "data", "--set", "train.epochs=3"), r"expected STAGE\.FIELD=VALUE with a stage of ingest, prep"),
        (("run", "dta"), r"there is no pipeline 'dta'\. There are: data, train, retrain, deploy, batch-score"),
        (("run", "batch-score"), r"batch-score needs --data: the images to read"),
        (("run", "batch-score", "--models-to", "s3://x"), r"--models-to is no option of the pipeline batch-score"),
        (("run", "data", "--which", "3"), r"--which is no option of the pipeline data, but of deploy and batch-score"),
        (("run", "deploy", "--data", "films"), r"--data is no option of the pipeline deploy, but of train and retrain"),
        (("run", "retrain", "--deploy"), r"--deploy is no option of the pipeline retrain, but of train"),
        (("run", "train", "--reason", "why"), r"--reason would have no effect: add --deploy"),
        (("run", "train", "--set", "control.splitter=knative"), r"--set control would have no effect: add --deploy"),
        (("run", "deploy", "--policy", "/nowhere.yaml"), r"cannot read the policy file /nowhere\.yaml"),
        (("run", "deploy", "--set", "policy.deadline_seconds=0"), r"policy\.deadline_seconds must be above 0"),
        (("submit", "deploy", "--host", "http://x"), r"which version is 'challenger' cannot be asked here"),
        (("submit", "deploy", "--host", "http://x", "--which", "7"), r"splitter envoy is the edge of one machine"),
        (
            ("submit", "batch-score", "--host", "http://x", "--data", "s3://x"),
            r"say where the readings go: --publish-to",
        ),
        (("submit", "data", "--host", "http://127.0.0.1:9"), r"say where the version goes: --publish-to"),
        (("submit", "data", "--host", "http://x", "--publish-to", "/mnt"), r"which a pod does not reach"),
    ],
)
def test_an_option_of_another_pipeline_is_exit_code_2(arguments: tuple[str, ...], said: str) -> None:
    done = CliRunner().invoke(app, ["pipeline", *arguments])
    assert isinstance(done.exception, InputError)
    assert re.search(said, str(done.exception))


def test_a_model_is_written_to_no_uri_that_is_no_store(tiny_model: ModelFolder) -> None:
    done = secondread("register", "--model", str(tiny_model.root), "--root", "ftp://models")
    assert done.returncode == 2
    assert_one_line(done, r"root 'ftp://models' is no place for models")


def test_a_model_registered_by_hand_keeps_what_its_folder_knows(
    tiny_model: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_model.root, tmp_path / "model")
    Origin("a" * 32).write(tmp_path / "model")
    monkeypatch.setenv("SECONDREAD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SECONDREAD_REVISION", "c0ffee")
    arguments = ["register", "--model", str(tmp_path / "model"), "--actor", "Ada", "--reason", "first", "--json"]
    made = json.loads(CliRunner().invoke(app, arguments, catch_exceptions=False).stdout)
    assert (made["version"], made["run_id"]) == (1, "a" * 32)
    assert Path(made["storage_uri"]).is_relative_to(tmp_path / "home" / "models")
    tags = open_client(f"sqlite:///{tmp_path}/home/mlflow/mlflow.db").get_model_version("secondread", "1").tags
    assert (tags["synthetic"], tags["git_revision"]) == ("true", "c0ffee")
    assert (tags["registered_by"], tags["registered_because"]) == ("Ada", "first")


def test_doctor_says_what_is_there(tmp_path: Path) -> None:
    done = secondread("doctor", "--json", "--triton", str(tmp_path / "none"))
    assert done.returncode == 3
    checks = {check["name"]: check for check in json.loads(done.stdout)}
    assert checks["torch"]["found"]
    assert not checks["Triton"]["found"]
    assert checks["Triton"]["remedy"] == "run scripts/setup-triton.sh"


def test_doctor_finds_the_triton_that_serve_finds(tmp_path: Path) -> None:
    """Below the current folder or beside the code; a demo may be started anywhere."""
    command = [sys.executable, "-m", "secondread", "doctor", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    (triton,) = (check for check in json.loads(done.stdout) if check["name"] == "Triton")
    assert triton["found"] == TritonInstallation.find().environment.is_dir()


def test_doctor_does_not_take_a_half_made_environment_for_triton(tmp_path: Path) -> None:
    """What says that all of it is done is written last."""
    server = "lib/python3.11/site-packages/pytriton/tritonserver/bin/tritonserver"
    for part in (server, "backends/onnxruntime/libtriton_onnxruntime.so", "bin/python"):
        (tmp_path / part).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / part).touch()
    (triton,) = (check for check in diagnose(tmp_path, triton=tmp_path) if check.name == "Triton")
    assert not triton.found
    assert "is not complete: no secondread-pins" in triton.detail
