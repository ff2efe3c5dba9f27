"""Runs a graph with onnxruntime: what is evaluated is what is served."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from secondread.cpus import cpu_limit
from secondread.errors import InputError, IntegrityError
from secondread.model.folder import CONFIG_FILE, ModelFolder

INPUT = "pixels"
OUTPUTS = ("probabilities", "embedding", "ood_score")
SALIENCY = "saliency"  # float32 (images, size, size), one more output of the graph that explains


@dataclass(frozen=True)
class Outputs:
    """What the graph says of some images.

    Attributes:
        probabilities: float32 (images, classes), rows sum to 1, calibrated on val.
        embedding: float32 (images, dim).
        ood_score: float32 (images,), larger is farther from the training images.
    """

    probabilities: npt.NDArray[np.float32]
    embedding: npt.NDArray[np.float32]
    ood_score: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Explanation:
    """What the graph that explains says of some images.

    Attributes:
        outputs: as any graph gives them.
        saliency: float32 (images, size, size), in [0, 1]: how much each place speaks for the class with the highest
            probability, as a share of what the strongest place does; 0 all over where none does.
    """

    outputs: Outputs
    saliency: npt.NDArray[np.float32]


def open_graph(model: ModelFolder, graph: str | None = None, *, threads: int | None = None) -> GraphSession:
    """Open a graph of a model, once it is known to be of that model's kind.

    Args:
        model: the model folder.
        graph: file name; the one to serve by default.
        threads: of one run; the container's CPU limit by default.
    Raises:
        IntegrityError: the file is damaged, or its classes or size are not those of `config.json`.
    """
    path = model.graph_path(graph)
    session = GraphSession(path, threads=threads)
    classes, size = len(model.config.taxonomy.classes), model.config.preprocessing.size
    if (session.classes, session.size) != (classes, size):
        raise IntegrityError(
            f"{path} tells {session.classes} classes apart at {session.size} pixels, but {CONFIG_FILE} names {classes} "
            f"at {size}. Train or fetch the model again."
        )
    return session


class GraphSession:
    """One graph, opened once and run many times.

    Args:
        path: an ONNX file that follows the contract: input `pixels`, outputs `OUTPUTS`.
        threads: of one run; the container's CPU limit by default.
    Attributes:
        size: pixels, of each side.
        classes: that it tells apart.
        outputs: names of all that the graph gives.
    Raises:
        IntegrityError: the file is no graph that onnxruntime can open, or one of another contract.
    """

    def __init__(self, path: Path | str, *, threads: int | None = None) -> None:
        options = onnxruntime.SessionOptions()
        self.threads = threads or cpu_limit()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own errors share no public base class
            raise IntegrityError(f"{path} cannot be opened by onnxruntime ({str(error).splitlines()[0]}).") from error
        inputs = [node.name for node in self._session.get_inputs()]
        outputs = {node.name for node in self._session.get_outputs()}
        if inputs != [INPUT] or not outputs.issuperset(OUTPUTS):
            raise IntegrityError(
                f"{path} takes {inputs} and gives {sorted(outputs)}, not '{INPUT}' and {list(OUTPUTS)}."
            )
        self.outputs = frozenset(outputs)
        probabilities = next(node for node in self._session.get_outputs() if node.name == OUTPUTS[0])
        if not isinstance(probabilities.shape[-1], int):
            raise IntegrityError(f"{path} does not say how many classes it tells apart. Export it again.")
        self.classes = probabilities.shape[-1]
        self.size = int(self._session.get_inputs()[0].shape[-1])

    def run(self, pixels: npt.NDArray[np.uint8], *, batch_size: int = 64) -> Outputs:
        """Run images through the graph.

        Args:
            pixels: uint8 (images, 1, size, size), at least one image.
            batch_size: images at a time.
        Raises:
            InputError: another shape or dtype.
        """
        return Outputs(*self._run(OUTPUTS, pixels, batch_size))

    def explain(self, pixels: npt.NDArray[np.uint8], *, batch_size: int = 8) -> Explanation:
        """Run images through a graph that explains.

        Args:
            pixels: uint8 (images, 1, size, size), at least one image.
            batch_size: images at a time; all that the way back needs is kept on the way there.
        Raises:
            InputError: another shape or dtype.
            IntegrityError: this graph gives no saliency.
        """
        if SALIENCY not in self.outputs:
            raise IntegrityError(
                f"the graph gives no '{SALIENCY}', so it explains nothing. Open the model's explain.onnx."
            )
        *outputs, saliency = self._run((*OUTPUTS, SALIENCY), pixels, batch_size)
        return Explanation(Outputs(*outputs), saliency)

    def _run(
        self, names: tuple[str, ...], pixels: npt.NDArray[np.uint8], batch_size: int
    ) -> list[npt.NDArray[np.float32]]:
        """Some outputs of all images, in the order of `names`."""
        if pixels.dtype != np.uint8 or pixels.shape[1:] != (1, self.size, self.size) or not len(pixels):
            raise InputError(
                f"the graph takes uint8 (images, 1, {self.size}, {self.size}), not {pixels.dtype} {pixels.shape}."
            )
        parts = [
            self._session.run(list(names), {INPUT: np.ascontiguousarray(pixels[start : start + batch_size])})
            for start in range(0, len(pixels), batch_size)
        ]
        return [np.concatenate(column) for column in zip(*parts, strict=True)]
