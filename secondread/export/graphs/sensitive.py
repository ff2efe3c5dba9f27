"""Which layers 8 bits hurt: each group is quantized alone, and what that does to the embedding is measured."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from secondread.export.graphs.int8 import write_static
from secondread.export.graphs.ranges import Range, Seen
from secondread.model.session import GraphSession
from secondread.progress import track

_GROUPS = 16  # neighbours stay together, so that a deep network takes no longer than a shallow one
_IMAGES = 16


@dataclass(frozen=True)
class LayerError:
    """What a group of layers costs in 8 bits.

    Attributes:
        nodes: names, in the order they run.
        error: root mean square change of the embedding, as a share of its own root mean square; from 0.
    """

    nodes: tuple[str, ...]
    error: float


def layer_errors(
    prepared: Path,
    nodes: Collection[str],
    pixels: npt.NDArray[np.uint8],
    *,
    ranges: Mapping[str, Range],
    seen: Mapping[str, Seen],
    folder: Path,
    threads: int = 0,
) -> list[LayerError]:
    """The error of each group of layers, the most sensitive first.

    Args:
        prepared: what `int8.prepare` wrote.
        nodes: names of the layers that are to be quantized.
        pixels: uint8 (images, 1, size, size), calibration images; the first few are looked at.
        ranges: of every tensor that `int8.activations` names.
        seen: the same tensors, as they were observed.
        folder: for the graphs, which are removed again.
        threads: of one run; 0: the CPUs of the container.
    """
    few = np.asarray(pixels[np.linspace(0, len(pixels) - 1, min(_IMAGES, len(pixels))).astype(int)])
    expected = _embedding(prepared, few, threads)
    spread = float(np.sqrt((expected**2).mean())) or 1.0
    found = []
    groups = _groups(prepared, nodes)
    for number, group in enumerate(track(groups, "looking for sensitive layers", total=len(groups))):
        path = folder / f"group-{number}.onnx"
        write_static(prepared, path, group, ranges=ranges, seen=seen)
        difference = _embedding(path, few, threads) - expected
        found.append(LayerError(group, float(np.sqrt((difference**2).mean())) / spread))
        path.unlink()
    return sorted(found, key=lambda item: -item.error)


def _groups(prepared: Path, nodes: Collection[str]) -> list[tuple[str, ...]]:
    ordered: Sequence[str] = [node.name for node in onnx.load(prepared).graph.node if node.name in nodes]
    count = min(_GROUPS, len(ordered))
    return [tuple(ordered[int(i)] for i in part) for part in np.array_split(np.arange(len(ordered)), count)]


def _embedding(graph: Path, pixels: npt.NDArray[np.uint8], threads: int) -> npt.NDArray[np.float32]:
    return GraphSession(graph, threads=threads or None).run(pixels).embedding
