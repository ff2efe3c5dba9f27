"""`secondread train` with what it cannot use: one line that says what is wrong and what to do, and nothing written."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from secondread.cli.main import main
from secondread.config.ingest import IngestConfig
from secondread.config.preprocess import PreprocessConfig
from secondread.config.train import TrainConfig
from secondread.data.ingest import ingest
from secondread.data.versions.dataset import DatasetVersion
from secondread.data.versions.version import write_dataset_version
from secondread.training.train import train

WRONG_INPUT, NOT_THERE = 2, 3


@dataclass(frozen=True)
class Places:
    """What commands are given.

    Attributes:
        data: version of three classes.
        model: of the three classes.
        other_classes: version of two classes that the model does not know.
        other_size: version of images of 36 pixels.
    """

    data: Path
    model: Path
    other_classes: Path
    other_size: Path


def version_of(root: Path, *classes: str, image_size: int) -> Path:
    """A version of 12 noisy films a class."""
    for number, label in enumerate(classes):
        (root / "films" / label).mkdir(parents=True)
        for index in range(12):
            film = Image.effect_noise((32, 32), 40 + 10 * number + index)
            film.save(root / "films" / label / f"{index:02d}.png")
    ingest(IngestConfig(str(root / "films"), modality="cxr"), root / "ingested", patient_key=root / "patient.key")
    return write_dataset_version(root / "ingested", root / "dataset", PreprocessConfig(image_size=image_size)).root


@pytest.fixture(scope="module")
def places(dataset: DatasetVersion, tmp_path_factory: pytest.TempPathFactory) -> Places:
    root = tmp_path_factory.mktemp("bad-input")
    config = TrainConfig(preset="vit-test-32", epochs=1, batch_size=16, threads=1, audit_images=0, explain=False)
    return Places(
        data=dataset.root,
        model=train(dataset, root / "model", config).model.root,
        other_classes=version_of(root / "other", "cxr-normal", "cxr-covid", image_size=32),
        other_size=version_of(root / "sized", "cxr-normal", "cxr-covid", image_size=36),
    )


# arguments, with {names} of places; variables; exit code; what the one line says
CASES = {
    "a preset that is none": (
        ["--data={data}", "--set=train.preset=resnet-18"], {}, WRONG_INPUT, "there is no preset 'resnet-18'. Choose"
    ),
    "an image size that tokens do not fill": (
        ["--data={other_size}"], {}, WRONG_INPUT, "images of 36 pixels are no multiple of the"
    ),
    "weights of other classes": (
        ["--data={other_classes}", "--start={model}", "--set=train.preset=vit-test-32"],
        {},
        WRONG_INPUT,
        "Start from a model of the same classes",
    ),
    "no folder to write": (["--data={data}", "--output={data}/dataset.json/model"], {}, WRONG_INPUT, "cannot write"),
    "an address that is none": (
        ["--data={data}"], {"MLFLOW_TRACKING_URI": "htp://mlflow"}, WRONG_INPUT, "no address of an MLflow"
    ),
    "an MLflow that does not answer": (
        ["--data={data}"], {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}, NOT_THERE, "does not answer"
    ),
    "several machines for one": (
        ["--data={data}", "--set=train.strategy=ddp", "--set=train.nodes=2"], {}, WRONG_INPUT, "trains on one machine"
    ),
    "a setting that is none": (["--data={data}", "--set=train.lr=1"], {}, WRONG_INPUT, "train has no setting lr"),
    "a setting of another stage": (
        ["--data={data}", "--set=preprocess.image_size=224"], {}, WRONG_INPUT, "with a stage of train."
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_it_is_said_in_one_line(
    case: str, places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, variables, code, said = CASES[case]
    monkeypatch.setenv("SECONDREAD_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    chosen = [argument.format(**vars(places)) for argument in arguments]
    # of two outputs the later one counts; one epoch, should it be trained after all
    begin = ["secondread", "train", f"--output={tmp_path / 'model'}", "--set=train.epochs=1"]
    monkeypatch.setattr(sys, "argv", [*begin, *chosen])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert line.startswith("error: ")
    assert said in line
    assert {path.name for path in tmp_path.iterdir()} <= {"home"}
