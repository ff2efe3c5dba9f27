"""A quantization as a run in MLflow, by hand and in a pipeline: every graph's figures, the choice, and the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from secondread.atomic import read_json
from secondread.export.quantization.quantize import QUANTIZE_FILE, QUANTIZE_PAGE
from secondread.model.folder import ModelFolder
from secondread.tracking.asked import Asked
from secondread.tracking.evaluated import KIND_TAG
from secondread.tracking.finished_run import FinishedRun, log_finished, named
from secondread.tracking.origin import Origin

KIND = "quantization"
_FIGURES = ("accuracy", "accuracy_drop_points", "calibration_error", "size_bytes", "batch_dependence")


def log_quantization(uri: str, folder: Path, asked: Asked, *, origin: Origin, beside: Path) -> str:
    """Write a quantization down in MLflow; with the same `asked` again it is the same run.

    Args:
        uri: of MLflow.
        folder: that the quantization wrote.
        asked: what was asked for.
        origin: the run that trained the model, which this one is shown below.
        beside: folder beside which a record is left where MLflow lacks something.
    Returns:
        Id of the run; empty where MLflow does not have all of it.
    """
    document, model = read_json(folder / QUANTIZE_FILE), ModelFolder.open(folder)
    run = FinishedRun(
        experiment=model.config.name,
        name=f"quantize {model.config.name}: {document['chosen']}",
        asked=asked,
        origin=origin,
        tags={
            KIND_TAG: KIND,
            "synthetic": str(model.config.synthetic).lower(),
            "dataset_version": asked.dataset_version,
            "reason": document["reason"],
            "gpu_reason": document["gpu"]["reason"],
        },
        params={
            "model": model.config.name,
            "digest": model.digest(),
            "split": "val",
            **{name: document[name] for name in ("graph", "chosen")},
            **{f"gpu_{name}": document["gpu"][name] for name in ("graph", "chosen")},
            **{name: document["machine"][name] for name in ("cpu", "threads")},
        },
        metrics={"images": document["n"], "calibration_images": document["calibration_images"], **_figures(document)},
        files={name: folder / name for name in (QUANTIZE_FILE, QUANTIZE_PAGE)},
    )
    return log_finished(uri, run, beside=beside)


def _figures(document: Mapping[str, Any]) -> dict[str, float]:
    graphs = {each["name"]: each for each in document["candidates"]}
    found = {name: value for each in graphs.values() for name, value in _of_graph(each)}
    return found | dict(_of_choice(graphs[document["chosen"]], document["candidates"][0]))


def _of_graph(graph: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name in _FIGURES:
        yield named(name, graph["name"]), float(graph[name])
    for name, value in graph["parity"].items():
        yield named(name, graph["name"]), float(value)
    for size, times in graph["latency"].items():
        for name in ("p50_ms", "p99_ms"):
            yield named(f"latency_{name}", graph["name"], f"batch_{size}"), float(times[name])


def _of_choice(chosen: Mapping[str, Any], fp32: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """What the graph that is served gains and costs beside fp32."""
    yield "quantized_accuracy_drop_points", chosen["accuracy_drop_points"]
    yield "quantized_agreement", chosen["parity"]["same_label"]
    yield "quantized_size_share", chosen["size_bytes"] / fp32["size_bytes"]
    for size, times in chosen["latency"].items():
        yield f"quantized_speedup_batch_{size}", fp32["latency"][size]["p50_ms"] / times["p50_ms"]
