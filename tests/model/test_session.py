"""A graph is run in batches that change nothing, and only if it keeps the contract."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from secondread.errors import InputError, IntegrityError
from secondread.model.folder import ModelFolder
from secondread.model.session import GraphSession


def test_batches_change_nothing(tiny_model: ModelFolder) -> None:
    session = GraphSession(tiny_model.graph_path())
    pixels = np.random.default_rng(0).integers(0, 256, (7, 1, session.size, session.size)).astype(np.uint8)
    whole, parts = session.run(pixels), session.run(pixels, batch_size=3)
    for one, other in zip(vars(whole).values(), vars(parts).values(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
        assert one.dtype == np.float32
        assert len(one) == 7


@pytest.mark.parametrize("shape", [(0, 1, 32, 32), (2, 1, 16, 16), (2, 3, 32, 32)])
def test_pixels_of_another_shape_are_refused(tiny_model: ModelFolder, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"takes uint8 \(images, 1, 32, 32\)"):
        GraphSession(tiny_model.graph_path()).run(np.zeros(shape, np.uint8))


def test_a_map_is_asked_of_a_graph_that_gives_one(tiny_model: ModelFolder, explaining_graph: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 1, 32, 32)).astype(np.uint8)
    found = GraphSession(explaining_graph).explain(pixels, batch_size=2)
    np.testing.assert_allclose(found.saliency, pixels[:, 0] / np.float32(255), atol=1e-6)
    plain = GraphSession(tiny_model.graph_path())
    np.testing.assert_allclose(found.outputs.probabilities, plain.run(pixels).probabilities, atol=1e-6)
    with pytest.raises(IntegrityError, match=r"gives no 'saliency'.*Open the model's explain\.onnx"):
        plain.explain(pixels)
    with pytest.raises(InputError, match="takes uint8"):
        GraphSession(explaining_graph).explain(pixels[:0])


def test_floats_are_refused(tiny_model: ModelFolder) -> None:
    with pytest.raises(InputError, match="not float32"):
        GraphSession(tiny_model.graph_path()).run(np.zeros((1, 1, 32, 32), np.float32))  # type: ignore[arg-type]


def test_what_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fp32.onnx").write_bytes(b"no graph")
    with pytest.raises(IntegrityError, match=r"fp32\.onnx cannot be opened by onnxruntime"):
        GraphSession(tmp_path / "fp32.onnx")


def test_a_graph_of_another_contract_is_refused(tiny_model: ModelFolder, tmp_path: Path) -> None:
    graph = onnx.load(tiny_model.graph_path())
    del graph.graph.output[-1]
    onnx.save(graph, tmp_path / "other.onnx")
    with pytest.raises(IntegrityError, match=r"other\.onnx takes \['pixels'\] and gives"):
        GraphSession(tmp_path / "other.onnx")
