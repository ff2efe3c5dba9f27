"""Every graph that may be served in the place of the exported one.

fp32                        as exported
fused                       the same numbers with fused attention (`export.graphs.fuse`)
dynamic                     8-bit weights, ranges of activations measured in every run
static-minmax               8 bits with ranges from calibration images, convolutions too
static-entropy              the same, other ranges
static-percentile           the same, other ranges
static-<ranges>-attention   and attention's own products, for the ranges that changed the answers least
<the last>-mixed            without the layers that 8 bits hurt most, where too many answers changed
fp16                        for GPUs
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from secondread.config.quantize import QuantizeConfig
from secondread.export.graphs.calibration_images import check_calibration
from secondread.export.graphs.fuse import fuse
from secondread.export.graphs.half import write_half
from secondread.export.graphs.int8 import activations, few_rows, find_layers, prepare, write_dynamic, write_static
from secondread.export.graphs.ranges import METHODS, Range, Seen, observe, ranges
from secondread.export.graphs.sensitive import layer_errors
from secondread.logging import get_logger
from secondread.model.session import GraphSession, Outputs
from secondread.progress import track

FP32, FUSED, FP16, DYNAMIC = "fp32", "fused", "fp16", "dynamic"

_FUSED_TOLERANCE = 1e-4  # of a probability; beyond it, the fused graph is another model
_CHECKED_IMAGES = 96  # calibration images on which ranges are compared

log = get_logger(__name__)


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        graphs: name to ONNX file, fp32 first.
        notes: what was left out and why, a sentence each.
        in_float: layers that the mixed graph leaves in float, the most sensitive first.
    """

    graphs: dict[str, Path]
    notes: tuple[str, ...]
    in_float: tuple[str, ...]


@dataclass(frozen=True)
class _Static:
    """What static graphs are made from."""

    prepared: Path
    ranges: dict[str, Range]
    seen: dict[str, Seen]

    def write(self, path: Path, nodes: Collection[str]) -> Path:
        write_static(self.prepared, path, nodes, ranges=self.ranges, seen=self.seen)
        return path


def write_candidates(
    fp32: Path, calibration: npt.NDArray[np.uint8], folder: Path, config: QuantizeConfig | None = None
) -> Written:
    """Write every candidate of a graph.

    Args:
        fp32: the served graph, as exported.
        calibration: uint8 (images, 1, size, size), training images.
        folder: to write into.
        config: percentile, threads, and how much answers may change before sensitive layers are looked for.
    Raises:
        InputError: the calibration images are damaged, or the graph has no constant weights before its embedding.
    """
    config = config or QuantizeConfig()
    check_calibration(calibration)
    few = calibration[np.linspace(0, len(calibration) - 1, min(_CHECKED_IMAGES, len(calibration))).astype(int)]
    expected = _run(fp32, few, config)
    graphs, notes = {FP32: fp32}, []
    fused = folder / f"{FUSED}.onnx"
    if note := _fuse(fp32, fused, expected, few, config):
        log.info("%s", note)
        notes.append(note)
    else:
        graphs[FUSED] = fused
    prepared = folder / "prepared.onnx"
    prepare(graphs.get(FUSED, fp32), prepared)
    layers = find_layers(prepared)
    seen = observe(prepared, activations(prepared, layers), calibration, threads=config.threads)
    layers = few_rows(seen, prepared, layers)
    graphs[DYNAMIC] = folder / f"{DYNAMIC}.onnx"
    write_dynamic(prepared, graphs[DYNAMIC], layers)
    statics, errors = {}, {}
    for method in track(METHODS, "writing INT8 graphs", total=len(METHODS)):
        statics[method] = _Static(prepared, ranges(seen, method, percentile=config.percentile), seen)
        name = f"static-{method}"
        graphs[name] = statics[method].write(folder / f"{name}.onnx", layers.weighted)
        errors[method] = _change(expected, _run(graphs[name], few, config))
    best = min(errors, key=lambda method: errors[method])
    name, nodes = f"static-{best}", layers.weighted
    if layers.attention:
        name, nodes = f"{name}-attention", layers.weighted + layers.attention
        graphs[name] = statics[best].write(folder / f"{name}.onnx", nodes)
    in_float = _mixed(statics[best], graphs, name, nodes, expected, few, config)
    graphs[FP16] = folder / f"{FP16}.onnx"
    write_half(fp32, graphs[FP16])
    return Written(graphs, tuple(notes), in_float)


def _fuse(fp32: Path, output: Path, expected: Outputs, pixels: npt.NDArray[np.uint8], config: QuantizeConfig) -> str:
    """Write the fused graph; else a sentence on why there is none."""
    done = fuse(fp32, output)
    if not done.attentions:
        return f"attention is not fused: {fp32.name} has none of the form that is looked for."
    found = _run(output, pixels, config)
    difference = float(np.abs(found.probabilities - expected.probabilities).max())
    if not difference <= _FUSED_TOLERANCE:
        return (
            f"attention is not fused: a probability would change by {difference:.2g}, more than {_FUSED_TOLERANCE:g}."
        )
    log.info("fused %d attentions, %d of them with keys and values that all heads share", done.attentions, done.shared)
    return ""


def _mixed(
    static: _Static,
    graphs: dict[str, Path],
    name: str,
    nodes: Collection[str],
    expected: Outputs,
    pixels: npt.NDArray[np.uint8],
    config: QuantizeConfig,
) -> tuple[str, ...]:
    """Leave sensitive layers in float where calibration images are answered otherwise; which, if any."""
    if _as_before(expected, _run(graphs[name], pixels, config), config):
        return ()
    folder, mixed = graphs[name].parent, f"{name}-mixed"
    errors = layer_errors(
        static.prepared, nodes, pixels, ranges=static.ranges, seen=static.seen, folder=folder, threads=config.threads
    )
    left: tuple[str, ...] = ()
    count = 1
    while 2 * count <= len(errors):
        left = tuple(node for item in errors[:count] for node in item.nodes)
        rest = [node for node in nodes if node not in left]
        graphs[mixed] = static.write(folder / f"{mixed}.onnx", rest)
        if _as_before(expected, _run(graphs[mixed], pixels, config), config):
            break
        count *= 2
    return left


def _run(graph: Path, pixels: npt.NDArray[np.uint8], config: QuantizeConfig) -> Outputs:
    return GraphSession(graph, threads=config.threads or None).run(pixels, batch_size=32)


def _as_before(expected: Outputs, found: Outputs, config: QuantizeConfig) -> bool:
    same = expected.probabilities.argmax(axis=1) == found.probabilities.argmax(axis=1)
    return bool(same.mean() >= config.agreement and _change(expected, found) <= config.probability_change)


def _change(expected: Outputs, found: Outputs) -> float:
    """Mean change of a probability."""
    return float(np.abs(expected.probabilities - found.probabilities).mean())
