"""`secondread evaluate` with what it cannot use: one line that says what is wrong, exit code 2, and nothing written."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from secondread.cli.main import main
from secondread.model.folder import CONFIG_FILE, FP32_GRAPH, ModelFolder


def film(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (40, 40), dtype=np.uint8)).save(path)


@pytest.fixture
def model(tiny_model: ModelFolder, tmp_path: Path) -> Path:
    """A model folder of three classes that a test may alter."""
    shutil.copytree(tiny_model.root, tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """A folder of films with two of the model's classes."""
    for number, label in enumerate(("cxr-normal", "cxr-covid")):
        for index in range(3):
            film(tmp_path / "films" / label / f"{index}.png", 10 * number + index)
    return tmp_path / "films"


def config(change: Callable[[dict[str, Any]], object]) -> Callable[[Path, Path], object]:
    def alter(model: Path, _: Path) -> None:
        document = json.loads((model / CONFIG_FILE).read_text())
        change(document)
        (model / CONFIG_FILE).write_text(json.dumps(document))

    return alter


def altered_graph(model: Path, _: Path) -> None:
    graph = bytearray((model / FP32_GRAPH).read_bytes())
    graph[: len(graph) // 2] = bytes(len(graph) // 2)
    (model / FP32_GRAPH).write_bytes(bytes(graph))


def another_output(model: Path, _: Path) -> None:
    graph = onnx.load(model / FP32_GRAPH)
    del graph.graph.output[:1]
    onnx.save(graph, model / FP32_GRAPH)


def without_labels(_: Path, films: Path) -> None:
    paths = sorted(path.relative_to(films) for path in films.rglob("*.png"))
    (films / "manifest.csv").write_text("path\n" + "\n".join(map(str, paths)))


def unreadable(_: Path, films: Path) -> None:
    for path in films.rglob("*.png"):
        path.write_bytes(path.read_bytes()[:60])


CASES: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "a graph that is damaged": (altered_graph, "cannot be opened by onnxruntime"),
    "a graph of another contract": (another_output, "not 'pixels' and ['probabilities'"),
    "a graph that is missing": (lambda model, _: (model / FP32_GRAPH).unlink(), "fp32.onnx is missing"),
    "a graph of more classes": (
        config(lambda document: document["taxonomy"]["classes"].pop()), "tells 3 classes apart at 32 pixels, but config"
    ),
    "a graph of another size": (
        config(lambda document: document["preprocessing"].update(size=64)), "but config.json names 3 at 64"
    ),
    "a description that is no JSON": (
        lambda model, _: (model / CONFIG_FILE).write_text("{"), "config.json is damaged"
    ),
    "a description without thresholds": (config(lambda document: document.pop("thresholds")), "is not complete"),
    "a threshold that is none": (
        config(lambda document: document["thresholds"].update(abstain="often")), "abstain is no number from 0 to 1"
    ),
    "a threshold for a class that there is none of": (
        config(lambda document: document["thresholds"].update(by_class={"cxr-flu": 0.5})), "names cxr-flu"
    ),
    "margins to no power": (
        config(lambda document: document.update(margin_power=0)), "margin_power is no number above 0"
    ),
    "a temperature that turns answers round": (
        config(lambda document: document.update(temperature=-1.0)), "temperature is no number above 0"
    ),
    "a graph outside of the folder": (
        config(lambda document: document.update(graph="../other.onnx")), "graph is no plain file name"
    ),
    "films without labels": (without_labels, "label"),
    "films that cannot be read": (unreadable, "none of its 6 images can be read"),
    "no films": (lambda _, films: shutil.rmtree(films), "films"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_it_is_said_in_one_line(
    case: str,
    model: Path,
    films: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    alter, said = CASES[case]
    alter(model, films)
    arguments = [f"--model={model}", f"--data={films}", f"--output={tmp_path / 'evaluation'}"]
    monkeypatch.setattr(sys, "argv", ["secondread", "evaluate", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert line.startswith("error: ")
    assert said in line
    assert {path.name for path in tmp_path.iterdir()} <= {"model", "films"}
