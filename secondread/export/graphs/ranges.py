"""The ranges of a graph's activations over calibration images: what 8 bits have to reach.

Three ways to choose: all that was seen (`minmax`); all but a small share of the values (`percentile`); and the range
whose 128 levels lose least of the distribution (`entropy`; Migacz 2017, "8-bit Inference with TensorRT", GTC). One pass
over the images serves all three: extremes are exact, the distribution is that of values drawn by lot, since any even
spacing falls in step with the rows of some layout and sees few of its channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper

from secondread.cpus import cpu_limit
from secondread.errors import InputError
from secondread.model.session import INPUT
from secondread.progress import track

MINMAX, ENTROPY, PERCENTILE = METHODS = ("minmax", "entropy", "percentile")

_BATCH = 32  # images; bounds the memory, the ranges do not depend on it
_SAMPLED = 16_384  # values of a tensor that are kept of each batch
_BINS, _LEVELS = 2048, 128  # of the histogram, and what an 8-bit range has on each side of 0
_STRIDE = 16  # bins between the ranges that are tried


@dataclass(frozen=True)
class Range:
    """What 8 bits have to reach; 0 is inside, since padding and ReLU make it exactly.

    Attributes:
        low, high: float, low <= 0 <= high.
    """

    low: float
    high: float


@dataclass(frozen=True)
class Seen:
    """One activation over all calibration images.

    Attributes:
        low, high: its extremes.
        values: float32 (values,), drawn among all.
        length: its second axis; tokens or rows of (batch, token, dim).
    """

    low: float
    high: float
    values: npt.NDArray[np.float32]
    length: int


def observe(graph: Path, tensors: Sequence[str], pixels: npt.NDArray[np.uint8], *, threads: int = 0) -> dict[str, Seen]:
    """Run images through a graph and look at some of its activations.

    Args:
        graph: ONNX file, in float.
        tensors: names of activations.
        pixels: uint8 (images, 1, size, size).
        threads: of one run; 0: the CPUs of the container.
    Raises:
        InputError: an activation is not finite.
    """
    model = onnx.load(graph)
    there = {output.name for output in model.graph.output}
    wanted = [name for name in dict.fromkeys(tensors) if name not in there]
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in wanted)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or cpu_limit()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    extremes = dict.fromkeys(tensors, (np.inf, -np.inf))
    values: dict[str, list[npt.NDArray[np.float32]]] = {name: [] for name in tensors}
    lengths: dict[str, int] = {}
    batches = [pixels[start : start + _BATCH] for start in range(0, len(pixels), _BATCH)]
    for batch in track(batches, "measuring ranges", total=len(pixels), size=len):
        for name, array in zip(tensors, session.run(list(tensors), {INPUT: np.ascontiguousarray(batch)}), strict=True):
            low, high = extremes[name]
            extremes[name] = (min(low, float(array.min())), max(high, float(array.max())))
            values[name].append(_some(array))
            lengths[name] = array.shape[1] if array.ndim > 1 else 0
    for name, (low, high) in extremes.items():
        if not np.isfinite([low, high]).all():
            raise InputError(
                f"the calibration images give '{name}' of {graph.name} values that are not finite: "
                "its weights are damaged. Train or fetch the model again."
            )
    return {name: Seen(*extremes[name], np.concatenate(values[name]), lengths[name]) for name in tensors}


def _some(array: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """`_SAMPLED` of its values, the same places of each array of that size; all where there are fewer."""
    if array.size <= _SAMPLED:
        return array.flatten()
    return array.reshape(-1)[_places(array.size)]


@lru_cache
def _places(size: int) -> npt.NDArray[np.int64]:
    return np.sort(np.random.default_rng(size).integers(0, size, _SAMPLED))


def ranges(seen: Mapping[str, Seen], method: str, *, percentile: float) -> dict[str, Range]:
    """The range of each activation.

    Args:
        seen: what `observe` gave.
        method: one of `METHODS`.
        percentile: share of the values in % that `percentile` keeps, half of the rest cut off at each end.
    """
    return {name: _range(item, method, percentile) for name, item in seen.items()}


def _range(item: Seen, method: str, percentile: float) -> Range:
    low, high = item.low, item.high
    if method == PERCENTILE:
        cut = (100 - percentile) / 2
        low, high = (float(value) for value in np.percentile(item.values, [cut, 100 - cut]))
    elif method == ENTROPY:
        most = entropy_threshold(item.values)
        low, high = max(low, -most), min(high, most)
    low, high = min(low, 0.0), max(high, 0.0)
    return Range(low, high) if low < high else Range(0.0, 1.0)  # always 0: any scale says that


def entropy_threshold(values: npt.NDArray[np.float32]) -> float:
    """The size above which values are best cut off, so that 128 levels below it lose least information.

    Args:
        values: float32 (values,), of either sign.
    Returns:
        Above 0: where the Kullback-Leibler divergence between the sizes, cut off there, and their 128 levels is least.
        0 where all values are 0.
    """
    sizes = np.abs(values)
    most = float(sizes.max())
    if most == 0:
        return 0.0
    counts, edges = np.histogram(sizes, bins=_BINS, range=(0, most))
    counts[0] = counts[1]  # zeros are exact at any scale, and would outweigh everything behind a ReLU
    ends = range(_LEVELS, _BINS + 1, _STRIDE)
    losses = [_divergence(counts, end) for end in ends]
    return float(edges[ends[int(np.argmin(losses))]])


def _divergence(counts: npt.NDArray[np.int64], end: int) -> float:
    """Of the first `end` bins, all beyond counted in the last, from the same in `_LEVELS` even levels."""
    kept = counts[:end].astype(np.float64)
    level = np.arange(end) * _LEVELS // end
    filled = kept > 0
    totals = np.bincount(level, weights=kept, minlength=_LEVELS)
    share = totals / np.maximum(np.bincount(level, weights=filled, minlength=_LEVELS), 1)
    coarse = np.where(filled, share[level], 0)
    kept[-1] += counts[end:].sum()
    if not kept.sum() or not coarse.sum():
        return float("inf")
    kept, coarse = kept / kept.sum(), coarse / coarse.sum()
    both = (kept > 0) & (coarse > 0)
    lost = kept[(kept > 0) & (coarse == 0)].sum()  # would be infinite; a sample's empty bins should not decide alone
    return float((kept[both] * np.log(kept[both] / coarse[both])).sum() + lost)
