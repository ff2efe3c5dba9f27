"""Where the model looked: the same from a folder, over REST and over gRPC, as a picture and for machines."""

from __future__ import annotations

import base64
import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from secondread.data.pixels.preprocess import preprocess
from secondread.errors import InputError, TooLargeError
from secondread.evaluation.saliency import overlay
from secondread.export.repository.layout import write_repository
from secondread.export.repository.signing import sign_folder
from secondread.export.repository.signing_key import SigningKey
from secondread.export.repository.triton_config import MAX_EXPLAINED
from secondread.model.folder import ModelFolder
from secondread.serving.explain import Explained, explain_with_model, explain_with_server, write_picture
from secondread.serving.predict import predict_with_model
from secondread.serving.protocol import contract
from tests.serving.conftest import start_server, stop_server

OVER_GRPC = """
import json, sys
from pathlib import Path
from secondread.serving.explain import explain_with_server
found = explain_with_server(sys.argv[1], [Path(path) for path in sys.argv[2:]])
print(json.dumps([[each.to_json(), each.saliency.tolist(), each.pixels.tolist()] for each in found]))
"""


@pytest.fixture
def files(tmp_path: Path, film: Callable[..., bytes]) -> list[Path]:
    """More films than one request to a model that explains may hold."""
    paths = [tmp_path / f"{index:02d}.png" for index in range(MAX_EXPLAINED + 2)]
    for index, path in enumerate(paths):
        path.write_bytes(film(index))
    return paths


def infer(served: Any, *images: bytes, outputs: tuple[str, ...] = ()) -> tuple[int, Any]:
    tensor = {"name": "image", "datatype": "BYTES", "shape": [len(images)]}
    data = [base64.b64encode(each).decode() for each in images]
    body = {"inputs": [{**tensor, "data": data}], "outputs": [{"name": name} for name in outputs]}
    request = urllib.request.Request(f"{served.url}/v2/models/secondread-explain/infer", json.dumps(body).encode())
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_the_three_ways_agree(
    served: Any, model: ModelFolder, files: list[Path], run_python: Callable[..., str]
) -> None:
    alone = explain_with_model(model.root, files)
    over_http = explain_with_server(served.url, files)
    over_grpc = json.loads(run_python(OVER_GRPC, f"grpc://{served.grpc_url}", *map(str, files)))
    assert len(alone) == len(over_http) == len(over_grpc) == len(files)
    for one, other, (document, saliency, pixels) in zip(alone, over_http, over_grpc, strict=True):
        assert one.reading.label == other.reading.label == document["label"]
        assert one.regions == other.regions
        assert document["regions"] == other.to_json()["regions"]
        for found in (other.saliency, saliency):
            np.testing.assert_allclose(found, one.saliency, atol=1e-6)
        for found in (other.pixels, pixels):
            np.testing.assert_array_equal(found, one.pixels)


def test_the_map_is_the_graphs_on_the_pixels_that_it_read(served: Any, model: ModelFolder, film: Any) -> None:
    """The tiny graph's map is its pixels, from 0 to 1."""
    status, answer = infer(served, film(1), film(2, kind="JPEG"))
    assert status == 200
    outputs = {each["name"]: each for each in answer["outputs"]}
    assert list(outputs) == [*contract.DATATYPES, "saliency", "pixels"]
    shown = [preprocess(data, model.config.preprocessing) for data in (film(1), film(2, kind="JPEG"))]
    assert outputs["pixels"]["datatype"] == "UINT8"
    np.testing.assert_array_equal(np.reshape(outputs["pixels"]["data"], (2, 32, 32)), shown)
    saliency = np.reshape(outputs["saliency"]["data"], outputs["saliency"]["shape"])
    np.testing.assert_allclose(saliency, np.array(shown) / 255, atol=1e-6)


def test_it_answers_as_the_fast_model_does(served: Any, film: Any, expected: Callable[..., Any]) -> None:
    _, answer = infer(served, film(1), outputs=("probabilities",))
    (output,) = answer["outputs"]
    np.testing.assert_allclose(output["data"], expected(film(1)).probabilities[0], atol=1e-6)
    assert (answer["model_name"], answer["model_version"]) == ("secondread-explain", "3")


def test_what_is_explained_was_read_by_the_graph_that_reads(
    model: ModelFolder,
    tiny_graph: Callable[..., None],
    signer: SigningKey,
    trusted: Path,
    files: list[Path],
    tmp_path: Path,
) -> None:
    """It names another class than the graph that explains, as one in 8 bits does now and then."""
    faster = ModelFolder.open(shutil.copytree(model.root, tmp_path / "faster"))
    tiny_graph(faster.graph_path(), seed=4)
    repository = write_repository(faster, tmp_path / "models", name="secondread", version=1)
    sign_folder(repository, signer)
    server = start_server(tmp_path, repository, trusted=trusted)
    try:
        served = explain_with_server(server.url, files)
    finally:
        assert stop_server(server) == 0
    alone, read = explain_with_model(faster.root, files), predict_with_model(faster.root, files)
    other = explain_with_model(model.root, files)
    for mine, its, *found in zip(read, other, alone, served, strict=True):
        assert its.reading.label != mine.label
        for each in found:
            assert each.reading.label == mine.label
            assert each.reading.probabilities == pytest.approx(mine.probabilities, abs=1e-6)
            # a map for another class is no reason of this reading
            assert its.saliency.max() > 0.5
            assert not each.saliency.any()
            assert each.regions == ()


def test_it_is_a_model_beside_the_other(served: Any) -> None:
    def get(path: str) -> Any:
        with urllib.request.urlopen(served.url + path, timeout=30) as response:
            return json.load(response)

    assert get("/v2/models") == {"models": ["secondread", "secondread-explain"]}
    assert get("/v2/models/secondread-explain/ready") == {"name": "secondread-explain", "ready": True}
    shapes = {each["name"]: each["shape"] for each in get("/v2/models/secondread-explain")["outputs"]}
    assert shapes["saliency"] == shapes["pixels"] == [-1, 32, 32]
    assert "saliency" not in {each["name"] for each in get("/v2/models/secondread")["outputs"]}


def test_more_images_than_it_explains_at_once_are_refused(served: Any, film: Any) -> None:
    status, answer = infer(served, *[film(1)] * (MAX_EXPLAINED + 1))
    assert (status, answer["error"]) == (413, "9 images are more than the 8 of one request to secondread-explain.")


def test_requests_are_counted_under_its_own_name(served: Any, film: Any) -> None:
    def count() -> float:
        with urllib.request.urlopen(f"{served.url}/metrics", timeout=30) as response:
            lines = response.read().decode().splitlines()
        name = 'secondread_requests_total{code="200",name="secondread-explain",version="3"}'
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

    before = count()
    infer(served, film(1))
    assert count() == before + 1


def test_the_picture_shows_the_film_the_map_over_it_and_the_scale(
    model: ModelFolder, files: list[Path], tmp_path: Path
) -> None:
    (explained,) = explain_with_model(model.root, files[:1])
    write_picture(explained, tmp_path / "new" / "picture.png")
    with Image.open(tmp_path / "new" / "picture.png") as opened:
        picture = np.asarray(opened)
    side, margin = 512, 12
    film, mapped = picture[margin : margin + side, margin : margin + side], picture[margin:, 2 * margin + side :]
    assert np.abs(film.astype(int) - film[..., :1]).max() == 0  # grey
    small = np.asarray(Image.fromarray(mapped[:side, :side]).resize((32, 32), Image.Resampling.BOX)).astype(int)
    assert np.abs(small - overlay(explained.pixels, explained.saliency)).mean() < 4
    scale = picture[margin : margin + side, 3 * margin + 2 * side].astype(int)
    lightness = scale.sum(axis=1)
    assert (np.diff(lightness) <= 2).all()  # from the strongest, above, to none; but for rounding
    assert lightness[0] > lightness[-1] + 300


def test_a_map_without_a_place_is_a_picture_too(model: ModelFolder, files: list[Path], tmp_path: Path) -> None:
    (explained,) = explain_with_model(model.root, files[:1])
    empty = replace(explained, saliency=np.zeros_like(explained.saliency), regions=())
    write_picture(empty, tmp_path / "picture.png")
    with Image.open(tmp_path / "picture.png") as picture:
        assert picture.width > 2 * 512


def test_regions_are_places_of_the_map(model: ModelFolder, files: list[Path]) -> None:
    for explained in explain_with_model(model.root, files):
        assert explained.regions
        for region in explained.regions:
            place = explained.saliency[region.top : region.bottom, region.left : region.right]
            assert place.max() == pytest.approx(region.strength)
        assert explained.regions[0].strength == explained.saliency.max()


def test_a_model_without_that_graph_is_told(model: ModelFolder, files: list[Path], tmp_path: Path) -> None:
    shutil.copytree(model.root, tmp_path / "model")
    (tmp_path / "model" / "explain.onnx").unlink()
    with pytest.raises(InputError, match=r"train\.explain=true"):
        explain_with_model(tmp_path / "model", files)


def test_a_picture_that_cannot_be_written_is_told(model: ModelFolder, files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (explained,) = explain_with_model(model.root, files[:1])
    with pytest.raises(InputError, match=r"cannot write .*picture\.png"):
        write_picture(explained, tmp_path / "file" / "picture.png")


def test_a_request_that_is_too_large_is_no_other_error(served: Any, tmp_path: Path, film: Any) -> None:
    big = tmp_path / "big.png"
    big.write_bytes(film(1) + bytes(2 << 20))
    with pytest.raises(TooLargeError):
        explain_with_server(served.url, [big])


def test_explained_is_json(model: ModelFolder, files: list[Path]) -> None:
    explained: Explained = explain_with_model(model.root, files[:1])[0]
    document = json.loads(json.dumps(explained.to_json()))
    assert document["saliency_size"] == 32
    assert set(document["regions"][0]) == {"left", "top", "right", "bottom", "strength", "share"}
