"""A model folder: whole, or refused with the file that is wrong; its digest names what is served."""

import json
import shutil
from pathlib import Path

import pytest

from secondread.errors import IntegrityError
from secondread.model.folder import CONFIG_FILE, ModelFolder


@pytest.fixture
def folder(tiny_model: ModelFolder, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model.root, tmp_path / "model"))


def test_what_is_written_is_what_is_read(folder: Path) -> None:
    model = ModelFolder.open(folder)
    model.config.write(folder)
    assert ModelFolder.open(folder) == model


def test_the_digest_changes_with_the_graph_and_with_its_description(folder: Path) -> None:
    before = ModelFolder.open(folder).digest()
    (folder / "MODEL_CARD.md").write_text("words change nothing")
    assert ModelFolder.open(folder).digest() == before
    graph = ModelFolder.open(folder).graph_path()
    graph.write_bytes(graph.read_bytes() + b"\0")
    changed = ModelFolder.open(folder).digest()
    document = json.loads((folder / CONFIG_FILE).read_text())
    (folder / CONFIG_FILE).write_text(json.dumps(document | {"temperature": 2.0}))
    assert len({before, changed, ModelFolder.open(folder).digest()}) == 3


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / CONFIG_FILE).unlink(), "is no model folder: it has no config.json"),
        (lambda folder: (folder / CONFIG_FILE).write_text("{"), "config.json is damaged"),
        (lambda folder: (folder / CONFIG_FILE).write_text("{}"), "config.json of the model is not complete"),
        (lambda folder: ModelFolder.open(folder).graph_path().unlink(), "fp32.onnx is missing"),
    ],
)
def test_a_folder_that_is_not_whole_names_what_is_wrong(folder: Path, damage: object, words: str) -> None:
    assert callable(damage)
    damage(folder)
    with pytest.raises(IntegrityError, match=words):
        ModelFolder.open(folder)


def test_a_folder_from_before_classes_had_thresholds_is_read_without(folder: Path) -> None:
    document = json.loads((folder / CONFIG_FILE).read_text())
    document["thresholds"] = {"abstain": 0.4, "out_of_distribution": 0.9}
    (folder / CONFIG_FILE).write_text(json.dumps(document))
    thresholds = ModelFolder.open(folder).config.thresholds
    assert (thresholds.abstain, thresholds.sensitivity, thresholds.by_class) == (0.4, None, {})
