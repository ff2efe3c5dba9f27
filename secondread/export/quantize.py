"""Quantize a model: make INT8 graphs, compare them with fp32 on val, and keep what is worth it.

Training images set the ranges, val decides, test is not looked at. The output is a copy of the model folder with
`quantize.json` (every candidate's figures, the choice and its reason). If a candidate wins it is there as `int8.onnx`
and `config.json` names it; else fp32 stays, and no `int8.onnx` is written: a folder holds only graphs worth serving.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from secondread.atomic import atomic_folder, write_json
from secondread.config.quantize import QuantizeConfig
from secondread.data.versions.dataset import DatasetVersion, SplitData
from secondread.errors import InputError, IntegrityError
from secondread.export.int8 import write_candidates
from secondread.export.latency import time_graphs
from secondread.export.parity import Parity, compare
from secondread.logging import get_logger
from secondread.machine import Machine, this_machine
from secondread.model.folder import CONFIG_FILE, FP32_GRAPH, INT8_GRAPH, REFERENCE_FILE, ModelFolder
from secondread.model.session import GraphSession, Outputs

QUANTIZE_FILE = "quantize.json"
FP32 = "fp32"

log = get_logger(__name__)


@dataclass(frozen=True)
class Candidate:
    """One graph and what it costs.

    Attributes:
        name: `fp32`, or how it was quantized.
        accuracy: on val, in [0, 1].
        size_bytes: of the file.
        latency_ms: batch size to median milliseconds of a run.
        parity: against fp32 on val.
    """

    name: str
    accuracy: float
    size_bytes: int
    latency_ms: Mapping[int, float]
    parity: Parity

    def drop_points(self, fp32: Candidate) -> float:
        """Percentage points of accuracy that are lost; negative where some are won."""
        return 100 * (fp32.accuracy - self.accuracy)


@dataclass(frozen=True)
class Choice:
    """Which graph is served, and why.

    Attributes:
        name: of the candidate.
        reason: one sentence.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class QuantizeResult:
    """What was compared and chosen.

    Attributes:
        model: the folder that was written.
        graph: file name of the graph to serve.
        choice: which candidate that is, and why.
        candidates: all of them, fp32 first.
        n: val images.
        calibration_images: training images that set the ranges.
        machine: where it was timed.
    """

    model: ModelFolder
    graph: str
    choice: Choice
    candidates: tuple[Candidate, ...]
    n: int
    calibration_images: int
    machine: Machine

    @property
    def reason(self) -> str:
        """Why this graph."""
        return self.choice.reason

    def to_json(self) -> dict[str, Any]:
        """As JSON, as `quantize.json` has it."""
        fp32 = self.candidates[0]
        return {
            "graph": self.graph,
            "chosen": self.choice.name,
            "reason": self.reason,
            "n": self.n,
            "calibration_images": self.calibration_images,
            "machine": {**asdict(self.machine), "flags": list(self.machine.flags)},
            "candidates": [
                {**asdict(item), "latency_ms": _by_batch(item), "accuracy_drop_points": item.drop_points(fp32)}
                for item in self.candidates
            ],
        }

    def table_markdown(self) -> str:
        """The comparison as Markdown."""
        fp32, sizes = self.candidates[0], list(self.candidates[0].latency_ms)
        head = ["graph", f"accuracy (val, n = {self.n})", "drop, points", "same label", "size, MB"]
        head += [f"p50, ms, batch {size}" for size in sizes]
        lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
        for item in self.candidates:
            name = f"**{item.name}**" if item.name == self.choice.name else item.name
            times = [
                f"{item.latency_ms[size]:.2f} ({fp32.latency_ms[size] / item.latency_ms[size]:.2f}x)" for size in sizes
            ]
            cells = [
                name,
                f"{item.accuracy:.4f}",
                f"{item.drop_points(fp32):+.2f}",
                f"{item.parity.same_label:.1%}",
                f"{item.size_bytes / 1e6:.2f}",
            ]
            lines.append(f"| {' | '.join(cells + times)} |")
        lines += ["", f"{self.reason} Timed in turns on {self.machine}."]
        return "\n".join(lines) + "\n"


def quantize(
    model: ModelFolder, dataset: DatasetVersion, output: Path, config: QuantizeConfig | None = None
) -> QuantizeResult:
    """Make and compare INT8 graphs, and write a copy of the model folder with the choice.

    Args:
        model: folder with `fp32.onnx`; it is not changed.
        dataset: the version that the model was trained on.
        output: folder to write, replaced as a whole.
        config: calibration, timing and what is worth it.
    Raises:
        InputError: the model was trained on another dataset version.
        IntegrityError: the model's drift reference is of other images.
    """
    config = config or QuantizeConfig()
    _check(model, dataset)
    val = dataset.split("val")
    calibration = calibration_images(dataset.split("train"), count=config.calibration_images, seed=config.seed)
    fp32 = model.graph_path(FP32_GRAPH)
    with (
        atomic_folder(output, marker=CONFIG_FILE, inputs=[model.root, dataset.root]) as folder,
        tempfile.TemporaryDirectory(prefix="secondread-int8-") as temporary,
    ):
        log.info("quantizing %s, ranges from %d train images", fp32.name, len(calibration))
        graphs = {FP32: fp32, **write_candidates(fp32, calibration, Path(temporary))}
        log.info("comparing %d graphs on %d val images", len(graphs), len(val.labels))
        outputs = {
            name: GraphSession(path, threads=config.threads or None).run(val.images) for name, path in graphs.items()
        }
        latency = time_graphs(
            graphs, val.images, batch_sizes=config.batch_sizes, runs=config.timed_runs, threads=config.threads
        )
        candidates = tuple(
            Candidate(
                name=name,
                accuracy=float((outputs[name].probabilities.argmax(axis=1) == val.labels).mean()),
                size_bytes=path.stat().st_size,
                latency_ms=latency[name],
                parity=compare(
                    outputs[FP32], outputs[name], out_of_distribution=model.config.thresholds.out_of_distribution
                ),
            )
            for name, path in graphs.items()
        )
        choice = choose(candidates, config)
        result = QuantizeResult(
            model=ModelFolder(output, replace(model.config, graph=_file_name(choice))),
            graph=_file_name(choice),
            choice=choice,
            candidates=candidates,
            n=len(val.labels),
            calibration_images=len(calibration),
            machine=this_machine(threads=config.threads),
        )
        _fill(folder, model, result, graph=graphs[choice.name], outputs=outputs[choice.name], val=val)
    log.info("%s", choice.reason)
    return result


def choose(candidates: Sequence[Candidate], config: QuantizeConfig) -> Choice:
    """Pick the fastest candidate that costs little accuracy, if it is worth having a second graph.

    It must save `latency_gain` of fp32's time on the first batch size, and be no slower than fp32 on any other.

    Args:
        candidates: fp32 first.
        config: how much accuracy may be lost, and how much time must be saved.
    """
    fp32, others = candidates[0], candidates[1:]
    batch = config.batch_sizes[0]
    accurate = [item for item in others if item.drop_points(fp32) <= config.accuracy_points + 1e-9]
    if not accurate:
        return Choice(
            FP32, f"fp32 is kept: every INT8 graph loses more than {config.accuracy_points:g} points of accuracy."
        )
    fast = [
        item for item in accurate if all(item.latency_ms[size] <= fp32.latency_ms[size] for size in config.batch_sizes)
    ]
    if not fast:
        return Choice(FP32, "fp32 is kept: no INT8 graph that is accurate enough is faster at every batch size.")
    best = min(fast, key=lambda item: item.latency_ms[batch])
    gain = 1 - best.latency_ms[batch] / fp32.latency_ms[batch]
    points = 0.0 - best.drop_points(fp32)  # never "-0.00"
    figures = (
        f"{best.name} takes {best.latency_ms[batch]:.2f} ms at batch {batch} where fp32 takes "
        f"{fp32.latency_ms[batch]:.2f} ms ({gain:.0%} less), and changes accuracy by {points:+.2f} points"
    )
    if gain < config.latency_gain - 1e-9:
        return Choice(FP32, f"fp32 is kept: {figures}; {config.latency_gain:.0%} less is asked.")
    return Choice(best.name, f"{figures}.")


def calibration_images(train: SplitData, *, count: int, seed: int) -> npt.NDArray[np.uint8]:
    """Pick training images, as many of each class as there are to have, so that a rare class has its say.

    Returns:
        uint8 (images, 1, size, size), at most `count`, in the order of the split.
    """
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(train.labels))
    labels = train.labels[shuffled]
    # how many of its class come before each image: taking the lowest first deals the classes out in turns
    turn = np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        turn[members] = np.arange(len(members))
    picked = shuffled[np.argsort(turn, kind="stable")[:count]]
    return np.asarray(train.images[np.sort(picked)])


def _check(model: ModelFolder, dataset: DatasetVersion) -> None:
    """Another version's val may hold images that the model was trained on, which would judge it too kindly."""
    if dataset.content_hash != model.config.dataset_version or dataset.preprocessing != model.config.preprocessing:
        raise InputError(
            f"dataset version {dataset.name} is not the one that model '{model.config.name}' was trained on "
            f"({model.config.dataset_version[:12]}). Name that one."
        )


def _fill(
    folder: Path, model: ModelFolder, result: QuantizeResult, *, graph: Path, outputs: Outputs, val: SplitData
) -> None:
    """Write the copy of the model folder with the choice."""
    # names that begin with "_" or "." belong to whoever wrote the source folder, such as its success manifest
    ignored = shutil.ignore_patterns("_*", ".*", INT8_GRAPH, QUANTIZE_FILE)
    shutil.copytree(model.root, folder, ignore=ignored, dirs_exist_ok=True)
    if result.graph == INT8_GRAPH:
        shutil.copyfile(graph, folder / INT8_GRAPH)
        if (folder / REFERENCE_FILE).is_file():
            frame = _reference(model.root / REFERENCE_FILE, outputs, val, result.model.config.taxonomy.names)
            frame.to_parquet(folder / REFERENCE_FILE, index=False, compression="zstd")
    result.model.config.write(folder)
    write_json(folder / QUANTIZE_FILE, result.to_json())


def _reference(path: Path, outputs: Outputs, val: SplitData, classes: tuple[str, ...]) -> pd.DataFrame:
    """The drift reference with the chosen graph's answers: live traffic is compared with what is served.

    Raises:
        IntegrityError: its rows are not those of val.
    """
    frame = pd.read_parquet(path)
    if list(frame["image_id"]) != list(val.rows["image_id"]):
        raise IntegrityError(f"{path} does not list the val images of its dataset version. Train the model again.")
    fresh = {
        "predicted": pd.array(np.asarray(classes, dtype=object)[outputs.probabilities.argmax(axis=1)], dtype="string"),
        "confidence": outputs.probabilities.max(axis=1),
        "ood_score": outputs.ood_score,
        "probabilities": list(outputs.probabilities),
        "embedding": list(outputs.embedding),
    }
    return frame.assign(**fresh)


def _file_name(choice: Choice) -> str:
    return FP32_GRAPH if choice.name == FP32 else INT8_GRAPH


def _by_batch(item: Candidate) -> dict[str, float]:
    return {str(size): value for size, value in item.latency_ms.items()}
