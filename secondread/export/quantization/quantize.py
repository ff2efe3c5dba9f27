"""Quantize a model: make faster graphs, compare them with fp32 on val, and keep what is worth it.

Training images set the ranges, val decides, test is not looked at. The output is a copy of the model folder with
`quantize.json` (every candidate's figures, the choice and its reason) and `quantize.html` (the same for people). What
wins on processors is there as `int8.onnx` or `fused.onnx`, what wins on GPUs as `fp16.onnx`; `config.json` names the
one for the target, with thresholds of its own. Where none wins fp32 stays: a folder holds only graphs worth serving.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from secondread.atomic import atomic_folder, read_json, write_json
from secondread.config.quantize import QuantizeConfig
from secondread.data.versions.dataset import DatasetVersion, SplitData
from secondread.errors import InputError, IntegrityError
from secondread.evaluation.metrics.by_name import overall
from secondread.evaluation.metrics.calibration import ece
from secondread.evaluation.reading_room.thresholds import carried_over
from secondread.evaluation.report.card import model_card
from secondread.export.graphs.calibration_images import calibration_images, check_calibration
from secondread.export.quantization.candidates import FP32, Written, write_candidates
from secondread.export.quantization.choice import Candidate, choose, choose_for_gpu
from secondread.export.quantization.comparison import (
    FUSED_GRAPH,
    HALF_GRAPH,
    Choices,
    QuantizeResult,
    chosen_files,
    graph_file,
)
from secondread.export.quantization.latency import time_graphs
from secondread.export.quantization.page import render_quantization
from secondread.export.quantization.parity import compare
from secondread.logging import get_logger
from secondread.machine import this_machine
from secondread.model.folder import (
    CARD_FILE,
    CONFIG_FILE,
    FP32_GRAPH,
    INT8_GRAPH,
    METRICS_FILE,
    REFERENCE_FILE,
    ModelConfigFile,
    ModelFolder,
    Thresholds,
)
from secondread.model.session import GraphSession, Outputs
from secondread.model.training_record import TrainingRecord
from secondread.progress import track

QUANTIZE_FILE = "quantize.json"
QUANTIZE_PAGE = "quantize.html"
_BATCH = 32  # val images that are asked alone and together: as many as one request may hold

log = get_logger(__name__)


def quantize(
    model: ModelFolder, dataset: DatasetVersion, output: Path, config: QuantizeConfig | None = None
) -> QuantizeResult:
    """Make and compare faster graphs, and write a copy of the model folder with the choice.

    Args:
        model: folder with `fp32.onnx`; it is not changed.
        dataset: the version that the model was trained on.
        output: folder to write, replaced as a whole.
        config: calibration, timing and what is worth it.
    Raises:
        InputError: the model was trained on another dataset version, or its train images are damaged.
        IntegrityError: the model's drift reference is of other images.
    """
    config = config or QuantizeConfig()
    _check(model, dataset)
    val = dataset.split("val")
    calibration = calibration_images(dataset.split("train"), count=config.calibration_images, seed=config.seed)
    check_calibration(calibration)
    fp32 = model.graph_path(FP32_GRAPH)
    with (
        atomic_folder(output, marker=CONFIG_FILE, inputs=[model.root, dataset.root]) as folder,
        tempfile.TemporaryDirectory(prefix="secondread-quantize-") as temporary,
    ):
        log.info("quantizing %s, ranges from %d train images", fp32.name, len(calibration))
        written = write_candidates(fp32, calibration, Path(temporary), config)
        outputs, batch_dependence, notes = _answers(written.graphs, val.images, config)
        thresholds = _thresholds(outputs, val, model)
        candidates = _measure(written, outputs, batch_dependence, val, thresholds, config)
        choices = Choices(choose(candidates, config), choose_for_gpu(candidates, config), config.target)
        served = choices.served
        result = QuantizeResult(
            model=ModelFolder(
                output,
                replace(model.config, graph=graph_file(served), thresholds=thresholds[served.name]),
            ),
            choices=choices,
            candidates=candidates,
            n=len(val.labels),
            calibration_images=len(calibration),
            machine=this_machine(threads=config.threads),
            notes=(*written.notes, *notes),
            in_float=written.in_float,
        )
        _fill(folder, model, result, config, graphs=written.graphs, outputs=outputs[served.name], val=val)
    log.info("%s", result.reason)
    return result


def _answers(
    graphs: Mapping[str, Path], pixels: npt.NDArray[np.uint8], config: QuantizeConfig
) -> tuple[dict[str, Outputs], dict[str, float], list[str]]:
    """What every graph says of val, how far its answer hangs on the other images of a batch, and what was left out."""
    answers, batch_dependence, notes = {}, {}, []
    for name, path in track(graphs.items(), f"comparing graphs on {len(pixels)} val images", total=len(graphs)):
        session = GraphSession(path, threads=config.threads or None)
        found = session.run(pixels)
        if not all(np.isfinite(each).all() for each in (found.probabilities, found.ood_score, found.embedding)):
            if name == FP32:
                raise InputError(f"{path.name} gives figures that are no numbers: train or fetch the model again.")
            notes.append(f"{name} is left out: it gives figures that are no numbers.")
            continue
        answers[name] = found
        some = pixels[:: max(1, len(pixels) // _BATCH)][:_BATCH]
        together, alone = (session.run(some, batch_size=size).probabilities for size in (len(some), 1))
        batch_dependence[name] = float(np.abs(together - alone).max())
    return answers, batch_dependence, notes


def _thresholds(outputs: Mapping[str, Outputs], val: SplitData, model: ModelFolder) -> dict[str, Thresholds]:
    """Of every graph its own: a score that is rounded lies elsewhere."""
    given, names = model.config.thresholds, model.config.taxonomy.names
    groups = val.rows["group_id"].to_numpy(dtype=object)
    return {
        name: given if name == FP32 else carried_over(given, outputs[FP32], found, val.labels, groups, names)
        for name, found in outputs.items()
    }


def _measure(
    written: Written,
    outputs: Mapping[str, Outputs],
    batch_dependence: Mapping[str, float],
    val: SplitData,
    thresholds: Mapping[str, Thresholds],
    config: QuantizeConfig,
) -> tuple[Candidate, ...]:
    """Every graph with its figures, fp32 first."""
    latency = time_graphs(
        written.graphs,
        val.images,
        batch_sizes=config.batch_sizes,
        runs=config.timed_runs,
        seconds=config.timing_seconds,
        threads=config.threads,
    )
    limits = {name: each.out_of_distribution for name, each in thresholds.items()}
    return tuple(
        Candidate(
            name=name,
            accuracy=float((found.probabilities.argmax(axis=1) == val.labels).mean()),
            calibration_error=_calibration_error(found.probabilities, val.labels),
            size_bytes=written.graphs[name].stat().st_size,
            latency=latency[name],
            parity=compare(outputs[FP32], found, out_of_distribution=(limits[FP32], limits[name])),
            batch_dependence=batch_dependence[name],
        )
        for name, found in outputs.items()
    )


def _calibration_error(probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> float:
    return ece(probabilities, labels)


def _check(model: ModelFolder, dataset: DatasetVersion) -> None:
    """Another version's val may hold images that the model was trained on, which would judge it too kindly.

    And what is carried over to a faster graph are the exported one's thresholds, which a quantized model has no more.
    """
    if model.config.graph != FP32_GRAPH:
        raise InputError(f"{model.root} is quantized already ({model.config.graph}): name the model that train wrote.")
    if dataset.content_hash != model.config.dataset_version or dataset.preprocessing != model.config.preprocessing:
        raise InputError(
            f"dataset version {dataset.name} is not the one that model '{model.config.name}' was trained on "
            f"({model.config.dataset_version[:12]}). Name that one."
        )


def _fill(
    folder: Path,
    model: ModelFolder,
    result: QuantizeResult,
    config: QuantizeConfig,
    *,
    graphs: Mapping[str, Path],
    outputs: Outputs,
    val: SplitData,
) -> None:
    """Write the copy of the model folder with the choice."""
    # names that begin with "_" or "." belong to whoever wrote the source folder, such as its success manifest
    ours = (INT8_GRAPH, FUSED_GRAPH, HALF_GRAPH, QUANTIZE_FILE, QUANTIZE_PAGE)
    shutil.copytree(model.root, folder, ignore=shutil.ignore_patterns("_*", ".*", *ours), dirs_exist_ok=True)
    for name, path in chosen_files(result.choices, graphs).items():
        shutil.copyfile(path, folder / name)
    if result.graph != FP32_GRAPH and (folder / REFERENCE_FILE).is_file():
        frame = _reference(model.root / REFERENCE_FILE, outputs, val, result.model.config.taxonomy.names)
        frame.to_parquet(folder / REFERENCE_FILE, index=False, compression="zstd")
    result.model.config.write(folder)
    if result.graph != FP32_GRAPH:
        _tell_again(folder, result.model.config, outputs, val)
    write_json(folder / QUANTIZE_FILE, result.to_json())
    (folder / QUANTIZE_PAGE).write_text(render_quantization(result, config), encoding="utf-8")


def _tell_again(folder: Path, config: ModelConfigFile, outputs: Outputs, val: SplitData) -> None:
    """Figures of val and the card are those of the graph that is served, as the thresholds are."""
    metrics = read_json(folder / METRICS_FILE) if (folder / METRICS_FILE).is_file() else {}
    known = overall(outputs.probabilities, val.labels)
    fresh = {"loss": known.pop("nll"), **known}
    metrics |= {name: value if math.isfinite(value) else None for name, value in fresh.items() if name in metrics}
    if metrics:
        write_json(folder / METRICS_FILE, metrics)
    if (folder / CARD_FILE).is_file():
        card = model_card(config, TrainingRecord.read(folder), metrics)
        (folder / CARD_FILE).write_text(card, encoding="utf-8")


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
