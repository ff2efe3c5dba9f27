"""Readings of files: the model folder alone, REST and gRPC say the same."""

from __future__ import annotations

import importlib
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from secondread.data.pixels.preprocess import Preprocessing, preprocess
from secondread.errors import DependencyError, ImageError, InputError, IntegrityError
from secondread.model.folder import ModelFolder
from secondread.model.session import GraphSession
from secondread.serving.predict import predict_with_model, predict_with_server
from secondread.serving.protocol.reading import Reading, print_readings

OVER_GRPC = """
import json, sys
from pathlib import Path
from secondread.serving.predict import predict_with_server
print(json.dumps([each.to_json() for each in predict_with_server(sys.argv[1], [Path(path) for path in sys.argv[2:]])]))
"""


@pytest.fixture
def files(tmp_path: Path, film: Callable[..., bytes], white: bytes) -> list[Path]:
    """More films than one request holds, and one picture that is none."""
    paths = [tmp_path / f"{index:02d}.png" for index in range(34)]
    for index, path in enumerate(paths):
        path.write_bytes(film(index))
    paths[33].write_bytes(white)
    return paths


def same(one: Reading, other: Reading) -> bool:
    """Equal but for what names the answer: the id is fresh, and a folder has no version yet."""
    return replace(one, reading_id="", model_version="", probabilities={}, confidence=0) == replace(
        other, reading_id="", model_version="", probabilities={}, confidence=0
    ) and one.probabilities == pytest.approx(other.probabilities, abs=1e-6)


def test_the_three_ways_agree(
    served: Any, model: ModelFolder, files: list[Path], run_python: Callable[..., str]
) -> None:
    alone = predict_with_model(model.root, files)
    over_http = predict_with_server(served.url, files)
    answer = json.loads(run_python(OVER_GRPC, f"grpc://{served.grpc_url}", *map(str, files)))
    over_grpc = [Reading(**each) for each in answer]
    assert len(alone) == len(over_http) == len(over_grpc) == 34
    assert all(same(one, other) for one, other in zip(alone, over_http, strict=True))
    assert all(same(one, other) for one, other in zip(over_http, over_grpc, strict=True))
    assert {each.model_version for each in over_http} == {"3"}
    assert {each.digest for each in alone} == {model.digest()}
    assert [each.out_of_distribution for each in alone] == [False] * 33 + [True]


def test_a_model_gets_the_pixels_that_it_was_trained_on(model: ModelFolder, tmp_path: Path) -> None:
    """A frame, and little contrast: what CLAHE and trimming change is in the answer."""
    film = np.pad(np.random.default_rng(0).normal(60, 10, (60, 60)).clip(30, 255).astype(np.uint8), 20)
    image = tmp_path / "film.png"
    Image.fromarray(film).save(image)
    spec = Preprocessing(32, contrast="clahe", trim_borders=True)
    shutil.copytree(model.root, tmp_path / "model")
    replace(model.config, preprocessing=spec).write(tmp_path / "model")
    [reading] = predict_with_model(tmp_path / "model", [image])
    pixels = preprocess(image.read_bytes(), spec)[np.newaxis, np.newaxis]
    expected = GraphSession(model.graph_path()).run(pixels).probabilities[0]
    assert list(reading.probabilities.values()) == pytest.approx(expected.tolist(), abs=1e-6)
    [plain] = predict_with_model(model.root, [image])
    assert plain.probabilities != reading.probabilities


@pytest.mark.parametrize("way", ["model", "server"])
def test_a_bad_file_is_named(way: str, served: Any, model: ModelFolder, files: list[Path]) -> None:
    def predict(paths: list[Path]) -> list[Reading]:
        return predict_with_model(model.root, paths) if way == "model" else predict_with_server(served.url, paths)

    files[33].write_text("no image")
    with pytest.raises(ImageError, match=rf"{files[33]}: the first bytes are of no") as caught:
        predict(files)
    assert "image 1" not in str(caught.value)
    with pytest.raises(InputError, match=r"gone\.png cannot be read \(No such file"):
        predict([files[0], files[0].with_name("gone.png")])
    with pytest.raises(InputError, match="there is no image"):
        predict([])


def test_a_server_that_is_not_there(files: list[Path]) -> None:
    with pytest.raises(DependencyError, match=r"no server answers at http://127\.0\.0\.1:1 .*secondread serve"):
        predict_with_server("http://127.0.0.1:1", files[:1])


def test_grpc_from_a_process_with_the_sdk_is_refused_in_words(files: list[Path]) -> None:
    """Loading both would end in protobuf's own error, thousands of characters of it."""
    importlib.import_module("secondread.serving.transformer.sdk")
    with pytest.raises(DependencyError, match="Use the http:// address"):
        predict_with_server("grpc://127.0.0.1:1", files[:1])


def test_a_model_that_the_server_has_not(served: Any, files: list[Path]) -> None:
    with pytest.raises(InputError, match="oct does not exist"):
        predict_with_server(served.url, files[:1], name="oct")


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://host", "http://"])
def test_an_address_that_is_none(url: str, files: list[Path]) -> None:
    with pytest.raises(InputError, match="is no address of a server"):
        predict_with_server(url, files[:1])


def test_a_folder_that_is_no_model(tmp_path: Path, files: list[Path]) -> None:
    with pytest.raises(IntegrityError, match="is no model folder"):
        predict_with_model(tmp_path, files[:1])


def test_people_are_shown_label_probability_version_and_the_notice(served: Any, files: list[Path]) -> None:
    text = io.StringIO()
    readings = predict_with_server(served.url, [files[0], files[33]])
    print_readings(readings, Console(file=text, width=200))
    shown = text.getvalue()
    assert readings[0].label in shown
    assert f"{readings[0].confidence:.3f}" in shown
    assert f"version 3, digest {readings[0].digest[:12]}" in shown
    assert shown.count("do not rely on the label") == 1
    assert "learned from generated images" in shown
    assert shown.rstrip().endswith(readings[0].notice)
