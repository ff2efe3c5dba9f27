"""What faster graphs give on this CPU: the speed of the seed's network, and the accuracy of a trained one."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.measure import Measurement
from benchmarks.trained import PREPROCESS, phantom_version
from benchmarks.training import phantoms
from benchmarks.workplace import Workplace
from secondread.config.quantize import QuantizeConfig

if TYPE_CHECKING:
    from secondread.data.versions.dataset import DatasetVersion
    from secondread.export.comparison import QuantizeResult
    from secondread.export.latency import Latency

SEED_PRESET, SEED_SIZE = "vit-seed-64", 64
PEER = f"plain fp32 export of {SEED_PRESET} (5.0 M parameters, {SEED_SIZE} px)"
SEED_IMAGES = 240  # phantoms: to calibrate on, and to time with
CONFIG = QuantizeConfig(batch_sizes=(1, 8), timing_seconds=30.0, calibration_images=64)
FRESH = "phantom://oct?images=5000&size=128&seed=5"  # drawn with another seed than what was trained on
_AXES = 64  # of the out-of-distribution score
_STATIC = "static-"

Times = Mapping[str, Mapping[int, "Latency"]]


def speed(_: Workplace) -> Sequence[Measurement]:
    """The seed's network: fused and INT8 against the plain export, in turns; with all threads, and with one.

    With several threads an answer also hangs on how far apart the cores are, and a host may move them while graphs are
    timed. The weights are random, on which speed does not depend, but answers do: no layer is left in float for their
    sake.
    """
    from secondread.export.calibration_images import calibration_images
    from secondread.export.candidates import FP16, FUSED, write_candidates
    from secondread.export.latency import time_graphs
    from secondread.machine import this_machine

    with phantoms(SEED_IMAGES, SEED_SIZE) as dataset, tempfile.TemporaryDirectory() as folder:
        fp32 = seed_graph(dataset, Path(folder, "fp32.onnx"))
        images = calibration_images(dataset.split("train"), count=CONFIG.calibration_images, seed=CONFIG.seed)
        graphs = write_candidates(fp32, images, Path(folder), replace(CONFIG, agreement=0, probability_change=1)).graphs
        sizes = {name: path.stat().st_size for name, path in graphs.items()}
        timed = {name: path for name, path in graphs.items() if name != FP16}
        alone, together = (
            time_graphs(
                timed,
                images,
                batch_sizes=CONFIG.batch_sizes,
                runs=CONFIG.timed_runs,
                seconds=CONFIG.timing_seconds,
                threads=threads,
            )
            for threads in (1, this_machine().threads)
        )
    found = []
    for kind, name in (("int8", fastest_int8), ("fused", lambda _: FUSED)):
        found += speedups(f"{kind}.one_thread", name(alone), alone, threads=1)
        found += speedups(kind, chosen := name(together), together, threads=this_machine().threads)
        found.append(Measurement(f"quantize.{kind}.size_share", sizes[chosen] / sizes["fp32"], "share", PEER, 1))
    return found


def seed_graph(dataset: DatasetVersion, path: Path) -> Path:
    """The seed's network, not trained, but with BatchNorm's statistics of a few images."""
    import torch

    from secondread.export.onnx import ServedGraph, export_onnx
    from secondread.model.out_of_distribution import Axes, Probe, Scale, Strangeness
    from secondread.model.vit import PRESETS, ViT

    torch.manual_seed(0)
    model = ViT(PRESETS[SEED_PRESET].fit_to(image_size=SEED_SIZE, classes=len(dataset.taxonomy.classes)))
    images = torch.from_numpy(np.array(dataset.split("train").images[:8])).float() / 255
    with torch.inference_mode():
        features = model.train().describe(images)[1].shape[1]
    # as large as a fitted one, which takes minutes
    nothing = np.zeros(features, np.float32)
    axes = Axes(nothing, nothing + 1, np.eye(features, _AXES, dtype=np.float32))
    score = Strangeness(axes, Probe(nothing, 0.0), Scale(np.zeros(2, np.float32), np.ones(2, np.float32)))
    export_onnx(ServedGraph(model.eval(), temperature=1.0, strangeness=score), path)
    return path


def fastest_int8(times: Times) -> str:
    """The static graph that is chosen at the first batch size where all of them answer as well."""
    from secondread.export.latency import fastest

    return fastest({name: own[CONFIG.batch_sizes[0]] for name, own in times.items() if name.startswith(_STATIC)})


def speedups(kind: str, name: str, times: Times, *, threads: int) -> list[Measurement]:
    """How many times faster a graph is than the plain export, by the medians.

    Args:
        kind: in the keys.
        name: of the graph.
        times: graph to batch size to times.
        threads: that it was timed with.
    """
    peer = f"{PEER}, {threads} thread{'s' * (threads > 1)}; graph {name}"
    plain = times["fp32"]
    return [
        Measurement(f"quantize.{kind}.speedup_batch_{size}", plain[size].p50_ms / own.p50_ms, "x", peer, own.runs)
        for size, own in times[name].items()
    ]


def accuracy(place: Workplace) -> Sequence[Measurement]:
    """Percentage points that the chosen INT8 graph of a trained model loses, on phantoms that it has not seen."""
    from secondread.export.calibration_images import calibration_images
    from secondread.export.candidates import write_candidates
    from secondread.export.quantize import quantize

    trained = place.trained
    with tempfile.TemporaryDirectory() as folder:
        result = quantize(trained.model, trained.dataset, Path(folder, "model"), CONFIG)
        name = best_candidate(result)
        images = calibration_images(trained.dataset.split("train"), count=CONFIG.calibration_images, seed=CONFIG.seed)
        Path(folder, "graphs").mkdir()
        graphs = write_candidates(trained.model.graph_path("fp32.onnx"), images, Path(folder, "graphs"), CONFIG).graphs
        fresh = phantom_version(FRESH, Path(folder), PREPROCESS)
        fp32, int8 = (right(graphs[each], fresh) for each in ("fp32", name))
    chosen = "chosen" if name == result.choice.name else f"the fastest static graph; {result.choice.name} was chosen"
    peer = f"its own fp32 graph ({trained.name}), on new phantoms; INT8 graph {name}, {chosen}"
    return [
        Measurement("quantize.int8.accuracy_drop_points", 100 * (fp32 - int8).mean(), "points", peer, len(fp32)),
        Measurement("quantize.int8.changed_share", (fp32 != int8).mean(), "share", peer, len(fp32)),
    ]


def right(graph: Path, dataset: DatasetVersion) -> np.ndarray:
    """Whether each image of all splits gets its own class, float (images,), 0 or 1."""
    from secondread.model.session import GraphSession

    session, found = GraphSession(graph), []
    for split in dataset.counts:
        if sum(dataset.counts[split].values()):
            data = dataset.split(split)
            found.append(session.run(data.images).probabilities.argmax(axis=1) == data.labels)
    return np.concatenate(found).astype(float)


def best_candidate(result: QuantizeResult) -> str:
    """The graph that was chosen; where it is in float, the fastest static one at batch 1."""
    if result.choice.name.startswith(_STATIC) or result.choice.name == "dynamic":
        return result.choice.name
    return fastest_int8({item.name: item.latency for item in result.candidates})
