"""A key pair with a signed repository, a model folder, and small transformers as torch's exporter writes them.

The transformers are made by hand: an export takes seconds.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from secondread.data.pixels.preprocess import Preprocessing
from secondread.export.repository.layout import write_repository
from secondread.export.repository.signing import sign_folder
from secondread.export.repository.signing_key import SigningKey, make_key_pair
from secondread.model.folder import ModelConfigFile, ModelFolder, Thresholds
from secondread.taxonomy import ClassInfo, Taxonomy

SIDE = 8  # pixels; each row is a token
TOKENS = SIDE
CLASSES = 3


class Writer:
    """Nodes and constants of a graph, in the order they are added."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, values: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def random(self, *shape: int, spread: float = 0.4) -> str:
        return self.constant(self.rng.normal(scale=spread, size=shape).astype(np.float32))

    def node(self, kind: str, *inputs: str, output: str = "", **attributes: object) -> str:
        output = output or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def linear(self, tokens: str, wide: int, narrow: int) -> str:
        return self.node("Add", self.node("MatMul", tokens, self.random(wide, narrow)), self.random(narrow))

    def norm(self, tokens: str, dim: int, output: str = "") -> str:
        gain = self.constant(np.ones(dim, np.float32))
        return self.node("LayerNormalization", tokens, gain, self.random(dim), axis=-1, output=output)

    def attention(self, tokens: str, dim: int, heads: int, head_dim: int) -> str:
        split = self.constant(np.array([0, TOKENS, heads, head_dim]))
        factor = self.constant(np.array([head_dim**-0.25], np.float32))
        query, key, value = (
            self.node("Transpose", self.node("Reshape", self.linear(tokens, dim, heads * head_dim), split), perm=perm)
            for perm in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
        )
        scores = self.node("MatMul", self.node("Mul", query, factor), self.node("Mul", key, factor))
        mixed = self.node("MatMul", self.node("Softmax", scores, axis=-1), value)
        joined = self.constant(np.array([0, TOKENS, heads * head_dim]))
        flat = self.node("Reshape", self.node("Transpose", mixed, perm=[0, 2, 1, 3]), joined)
        return self.linear(flat, heads * head_dim, dim)

    def block(self, tokens: str, dim: int, heads: int, head_dim: int) -> str:
        attended = self.node("Add", tokens, self.attention(self.norm(tokens, dim), dim, heads, head_dim))
        hidden = self.node("Gelu", self.linear(self.norm(attended, dim), dim, 2 * dim))
        return self.node("Add", attended, self.linear(hidden, 2 * dim, dim))


def write_transformer(path: Path, *, dim: int, heads: int, head_dim: int, depth: int = 2, pooled: bool = False) -> Path:
    """A transformer over the rows of an 8x8 image.

    Args:
        path: to write.
        dim: width of a token.
        heads, head_dim: of the attention.
        depth: blocks.
        pooled: whether the class is read off the mean of all tokens, not off the first.
    """
    writer = Writer(seed=dim + heads)
    pixels = writer.node("Div", writer.node("Cast", "pixels", to=1), writer.constant(np.array(255, np.float32)))
    rows = writer.node("Reshape", pixels, writer.constant(np.array([-1, TOKENS, SIDE])))
    tokens = writer.node("Add", writer.linear(rows, SIDE, dim), writer.random(TOKENS, dim))
    for _ in range(depth):
        tokens = writer.block(tokens, dim, heads, head_dim)
    if pooled:
        picked = writer.node("ReduceMean", tokens, writer.constant(np.array([1])), keepdims=0)
    else:
        picked = writer.node("Gather", tokens, writer.constant(np.array(0)), axis=1)
    embedding = writer.norm(picked, dim, output="embedding")
    writer.node("Softmax", writer.linear(embedding, dim, CLASSES), axis=1, output="probabilities")
    grey = writer.node("Reshape", pixels, writer.constant(np.array([-1, SIDE * SIDE])))
    writer.node("ReduceMean", grey, writer.constant(np.array([1])), keepdims=0, output="ood_score")
    outputs = {"probabilities": ["batch", CLASSES], "embedding": ["batch", dim], "ood_score": ["batch"]}
    graph = helper.make_graph(
        writer.nodes,
        "transformer",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", 1, SIDE, SIDE])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        writer.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return path


@pytest.fixture(scope="session")
def transformer() -> Callable[..., Path]:
    """`write_transformer`."""
    return write_transformer


@pytest.fixture
def noise() -> np.ndarray:
    """uint8 (40, 1, 8, 8), noise."""
    return np.random.default_rng(1).integers(0, 256, (40, 1, SIDE, SIDE), dtype=np.uint8)


@pytest.fixture(scope="session")
def signer(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    """A key pair in a folder of its own."""
    return make_key_pair(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def trusted(signer: SigningKey) -> Path:
    """Its public key."""
    return signer.path.with_suffix(".pub")


@pytest.fixture
def signed(tiny_model: ModelFolder, signer: SigningKey, tmp_path: Path) -> Path:
    """The tiny model as version 1 of the signed repository `chest`."""
    folder = write_repository(tiny_model, tmp_path / "models", name="chest", version=1)
    sign_folder(folder, signer)
    return folder


@pytest.fixture
def model(tmp_path: Path, tiny_graph: Callable[[Path], None]) -> ModelFolder:
    folder = tmp_path / "model"
    folder.mkdir()
    tiny_graph(folder / "fp32.onnx")
    taxonomy = Taxonomy(tuple(ClassInfo(name) for name in ("a", "b", "c")))
    ModelConfigFile(
        "secondread", {}, taxonomy, Preprocessing(32), 1.0, Thresholds(0.4, 0.9), "d" * 64, "fp32.onnx", False, "0"
    ).write(folder)
    return ModelFolder.open(folder)


@pytest.fixture
def explaining(model: ModelFolder, explaining_graph: Path) -> ModelFolder:
    """The model with a graph beside it that gives each pixel as its saliency."""
    shutil.copyfile(explaining_graph, model.root / "explain.onnx")
    return ModelFolder.open(model.root)
