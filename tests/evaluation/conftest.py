"""A model whose answers are known by hand: the brighter a quarter of the image, the more probable its class."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from secondread.data.pixels.preprocess import Preprocessing
from secondread.evaluation.labelled_images import LabelledImages
from secondread.model.folder import FP32_GRAPH, ModelConfigFile, ModelFolder, Thresholds
from secondread.taxonomy import ClassInfo, Taxonomy

SIZE = 16
CLASSES = ("cxr-covid", "cxr-normal", "cxr-opacity", "cxr-tuberculosis")


def _quarters_graph() -> onnx.ModelProto:
    """Pixels to softmax(mean grey of each quarter / 32)."""
    half = SIZE // 2
    nodes = [
        helper.make_node("Cast", ["pixels"], ["grey"], to=TensorProto.FLOAT),
        helper.make_node("AveragePool", ["grey"], ["pooled"], kernel_shape=[half, half], strides=[half, half]),
        helper.make_node("Reshape", ["pooled", "shape"], ["embedding"]),
        helper.make_node("Div", ["embedding", "scale"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("ReduceMax", ["embedding", "axes"], ["ood_score"], keepdims=0),
    ]
    constants = {
        "shape": np.array([-1, 4]),
        "scale": np.array(32, dtype=np.float32),
        "axes": np.array([1]),
    }
    graph = helper.make_graph(
        nodes,
        "quarters",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", 1, SIZE, SIZE])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 4]),
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", 4]),
            helper.make_tensor_value_info("ood_score", TensorProto.FLOAT, ["batch"]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


@pytest.fixture
def quarters(tmp_path: Path) -> Callable[..., ModelFolder]:
    """Write the model: `quarters(synthetic=True)`."""

    def write(
        *,
        synthetic: bool = False,
        classes: tuple[str, ...] = CLASSES,
        temperature: float = 1.0,
        thresholds: Thresholds = Thresholds(abstain=0.3, out_of_distribution=255.0),  # noqa: B008 - frozen
    ) -> ModelFolder:
        folder = tmp_path / "model"
        folder.mkdir()
        onnx.save(_quarters_graph(), folder / FP32_GRAPH)
        ModelConfigFile(
            name="quarters",
            architecture={},
            taxonomy=Taxonomy(tuple(ClassInfo(name, title=f"Title of {name}") for name in classes)),
            preprocessing=Preprocessing(size=SIZE),
            temperature=temperature,
            thresholds=thresholds,
            dataset_version="d" * 64,
            graph=FP32_GRAPH,
            synthetic=synthetic,
            library_version="0.1.0",
        ).write(folder)
        return ModelFolder.open(folder)

    return write


@pytest.fixture
def pictures() -> Callable[..., LabelledImages]:
    """Make labelled images, one in `wrong_every` of them with another label than its brightest quarter."""

    def make(
        images: int = 40, *, wrong_every: int = 5, synthetic: bool = False, classes: tuple[str, ...] = CLASSES
    ) -> LabelledImages:
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 100, (images, 1, SIZE, SIZE)).astype(np.uint8)
        half, bright = SIZE // 2, np.arange(images) % 4
        for image, quarter in zip(pixels, bright, strict=True):
            row, column = divmod(int(quarter), 2)
            image[0, row * half : (row + 1) * half, column * half : (column + 1) * half] += 100
        labels = np.where(np.arange(images) % wrong_every == 0, (bright + 1) % 4, bright)
        return LabelledImages(
            images=pixels,
            labels=np.array([classes.index(CLASSES[label]) for label in labels]),
            image_ids=np.array([f"{index:064x}" for index in range(images)], dtype=object),
            groups=np.array([f"patient-{index // 2:03d}-secret" for index in range(images)], dtype=object),
            classes=classes,
            preprocessing=Preprocessing(size=SIZE),
            name="0123456789ab",
            split="test",
            synthetic=synthetic,
        )

    return make
