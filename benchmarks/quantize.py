"""What the graph that is chosen gives on this CPU, and what it costs: of the seed's network, trained on phantoms.

Speed and answers are of the same graphs: those that `secondread quantize` makes of the model, times and chooses by its
rule, with all threads, and with one. With several threads a run also hangs on how far apart the host puts the CPUs, and
it may move them while graphs are timed (docs/quantization.md).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from benchmarks.measure import Measurement
from benchmarks.trained import SEED, Trained, phantom_version
from benchmarks.workplace import Workplace
from secondread.config.quantize import QuantizeConfig
from secondread.logging import get_logger

if TYPE_CHECKING:
    from secondread.data.versions.dataset import DatasetVersion
    from secondread.export.quantization.choice import Candidate
    from secondread.export.quantization.comparison import QuantizeResult

CONFIG = QuantizeConfig(batch_sizes=(1, 8), timing_seconds=30.0)
FRESH = SEED.source.replace("images=2400", "images=5000") + "&seed=5"  # other patients than it was trained on

log = get_logger(__name__)


def speed_and_answers(place: Workplace) -> Sequence[Measurement]:
    """How much faster the chosen graph is than the plain fp32 export, how much smaller, and what it gets wrong."""
    from secondread.machine import this_machine

    trained = place.trained_seed
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        fresh = phantom_version(FRESH, Path(folder), SEED.preprocess)
        plain = right(trained.model.graph_path("fp32.onnx"), fresh)
        found: list[Measurement] = []
        for kind, threads in (("one_thread.", 1), ("", this_machine().threads)):
            found += _with_threads(trained, Path(folder, "model"), fresh, plain, threads=threads, kind=kind)
    return found


def _with_threads(
    trained: Trained, output: Path, fresh: DatasetVersion, plain: npt.NDArray[np.float64], *, threads: int, kind: str
) -> Iterator[Measurement]:
    """What the rule's choice is worth with so many threads; `kind` is part of the keys."""
    from secondread.export.quantization.candidates import FP32, FUSED
    from secondread.export.quantization.quantize import quantize

    result = quantize(trained.model, trained.dataset, output, replace(CONFIG, threads=threads))
    peer = f"plain fp32 export of {trained.name}, {threads} thread{'s' * (threads > 1)}"
    by_name = {item.name: item for item in result.candidates}
    yield from _against_plain(by_name[FUSED], result, f"export.fused.{kind}", peer, one="speedup")
    if result.choice.name in (FP32, FUSED):
        log.warning("no graph in 8 bits is worth it with %d threads, so no figure of one: %s", threads, result.reason)
        return
    prefix = f"quantize.int8.{kind}"
    yield from _against_plain(result.chosen, result, prefix, f"{peer}; chosen by the rule")
    int8 = right(result.model.graph_path(result.graph), fresh)
    answer = partial(Measurement, peer=f"{peer}, on new phantoms; graph {result.choice.name}", n=len(int8))
    yield answer(f"{prefix}accuracy_drop_points", 100 * (plain - int8).mean(), "points")
    yield answer(f"{prefix}changed_share", (plain != int8).mean(), "share")


def _against_plain(
    graph: Candidate, result: QuantizeResult, prefix: str, peer: str, *, one: str = "speedup_batch_1"
) -> Iterator[Measurement]:
    """How many times faster a graph is, by the medians, and its size; `one` names the figure of one image."""
    plain, peer = result.candidates[0], f"{peer}; graph {graph.name}"
    for size, own in graph.latency.items():
        ratio = plain.latency[size].p50_ms / own.p50_ms
        name = one if size == 1 else f"speedup_batch_{size}"
        yield Measurement(f"{prefix}{name}", ratio, "x", peer, own.runs)
    yield Measurement(f"{prefix}size_share", graph.size_bytes / plain.size_bytes, "share", peer, 1)


def right(graph: Path, dataset: DatasetVersion) -> npt.NDArray[np.float64]:
    """Whether each image of all splits gets its own class: (images,), 0 or 1."""
    from secondread.model.session import GraphSession

    session, found = GraphSession(graph), []
    for split in dataset.counts:
        if sum(dataset.counts[split].values()):
            data = dataset.split(split)
            found.append(session.run(data.images).probabilities.argmax(axis=1) == data.labels)
    return np.concatenate(found).astype(float)
