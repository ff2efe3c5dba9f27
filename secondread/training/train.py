"""Trains a model on a dataset version and writes its folder."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from safetensors.torch import save

from secondread import __version__
from secondread.atomic import resumable_folder, room_in, write_json
from secondread.config.train import TrainConfig
from secondread.data.versions.dataset import DatasetVersion, SplitData
from secondread.errors import DependencyError, IntegrityError
from secondread.evaluation.metrics.by_name import overall
from secondread.evaluation.reading_room.thresholds import fit_thresholds
from secondread.evaluation.report.card import model_card
from secondread.export.onnx import ExplainingGraph, ServedGraph, export_onnx
from secondread.logging import get_logger
from secondread.model.folder import (
    CARD_FILE,
    CONFIG_FILE,
    EXPLAIN_GRAPH,
    FP32_GRAPH,
    METRICS_FILE,
    REFERENCE_FILE,
    WEIGHTS_FILE,
    ModelConfigFile,
    ModelFolder,
)
from secondread.model.session import GraphSession, Outputs
from secondread.model.vit import ViT, parameter_count
from secondread.training.batches import Share, even_batches
from secondread.training.fit import Fitted, architecture_for
from secondread.training.memory import is_out_of_memory
from secondread.training.out_of_distribution import fit_strangeness
from secondread.training.record import training_record
from secondread.training.run_folder import empty_folder, run_folder, run_key
from secondread.training.scaling import fit_scaling
from secondread.training.start import Start, open_start
from secondread.training.strategies.interrupted import stopped_by_sigterm
from secondread.training.strategies.job import Job
from secondread.training.strategies.strategy import fit_with_strategy
from secondread.training.tracked import abandon_trackers, open_tracker, tell_end, tell_start

if TYPE_CHECKING:
    # MLflow is no dependency of training
    from secondread.tracking.runs import TrackingConfig

Metrics = Mapping[str, float | int | None]

_BATCH_SIZE = 128  # images; without gradients

log = get_logger(__name__)


@dataclass(frozen=True)
class TrainResult:
    """What a training gave.

    Attributes:
        model: the folder that was written.
        metrics: figures on val, as `metrics.json` has them; None where val cannot tell.
        run_id: of the tracked run; empty where nothing is tracked.
    """

    model: ModelFolder
    metrics: Metrics
    run_id: str


@stopped_by_sigterm()
def train(
    dataset: DatasetVersion,
    output: Path,
    config: TrainConfig,
    *,
    tracking: TrackingConfig | None = None,
    resume: bool = True,
    start: Path | None = None,
) -> TrainResult:
    """Train a model; test is not looked at.

    What a run that was cut leaves lies beside `output`, or in the recipe's `storage`, until it is gone on with.

    Args:
        dataset: with a train and a val split.
        output: model folder to write; it appears whole or not at all.
        config: recipe.
        tracking: where the run is written down; None where it is not.
        resume: go on from what a run with the same data, recipe, code and start left when it was cut.
        start: model folder whose weights to begin with; None for random ones.
    Raises:
        InputError: `start` is of other classes or another architecture, the loss or its gradient is no number any more,
            a class has no training image, or `output` cannot be written.
        StoppedError: the process was asked to end.
        DependencyError: the tracker does not answer, or memory ran out.
    """
    architecture_for(dataset, config)  # a preset that does not fit is said before anything is begun
    opened = open_start(start, dataset, config)
    if opened and opened.may_have_seen(dataset):
        log.warning(
            "%s learned from dataset version %s, neither this one nor its parent: it may have seen images of "
            "val and test, and then figures on them are too good",
            start,
            opened.dataset_version[:12],
        )
    weights = opened.weights if opened else ""
    key = run_key(dataset, config, weights)
    forget = partial(abandon_trackers, tracking, output=output, storage=config.storage)
    with (
        resumable_folder(
            output, marker=CONFIG_FILE, key=key, inputs=[dataset.root], forget=forget, kept_after=(IntegrityError,)
        ) as folder,
        run_folder(folder, config.storage, key, forget=None if resume else forget) as work,
    ):
        with open_tracker(tracking, work, output=output, storage=config.storage) as tracker:
            run_id = tracker.run_id if tracker else ""
            if tracker:
                tell_start(tracker, dataset, config, opened)
            job = Job(
                str(dataset.root.resolve()),
                asdict(config),
                str(work.resolve()),
                tracked=tracker is not None,
                start=weights,
            )
            fitted = fit_with_strategy(job, dataset, tracker=tracker)
            made = work / "model" / output.name  # the tracker keeps it under its own name
            empty_folder(made)
            with _enough_memory(config):
                metrics = _write_folder(made, dataset, config, opened, fitted)
            if tracker:
                tell_end(tracker, dataset, made, metrics=metrics, fitted=fitted, work=work)
        with room_in(output):
            for path in folder.iterdir():
                if path.is_file():  # of a run that was cut here, and may have written others
                    path.unlink()
            for path in made.iterdir():
                shutil.move(path, folder / path.name)
    return TrainResult(ModelFolder.open(output), metrics, run_id)


@contextmanager
def _enough_memory(config: TrainConfig) -> Iterator[None]:
    """Say of memory that ran out after the training that nothing of it is lost."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        less = ["train.explain=false"] if config.explain else []
        less += ["train.audit_images=0"] if config.audit_images else []
        advice = f"Free some, or set {' and '.join(less)}" if less else "Free some"
        raise DependencyError(
            f"out of memory after the training, while its model is calibrated and exported. {advice}, and start the "
            "run again: it goes on from there."
        ) from error


def _write_folder(
    folder: Path, dataset: DatasetVersion, config: TrainConfig, start: Start | None, fitted: Fitted
) -> Metrics:
    """Calibrate, export, run val through the graph that will be served, and write everything down."""
    train_split, val = dataset.split("train"), dataset.split("val")
    model = ViT(architecture_for(dataset, config))
    model.load_state_dict(fitted.state)
    model.eval()
    # not save_file, which lets nobody but its owner read the file
    (folder / WEIGHTS_FILE).write_bytes(save(fitted.state))

    scaling = fit_scaling(_logits(model, val), val.labels)
    strangeness = fit_strangeness(model, train_split, val, seed=config.seed)
    # what is judged is what is served
    served = ServedGraph(model, **asdict(scaling), strangeness=strangeness)
    export_onnx(served, folder / FP32_GRAPH)
    if config.explain:
        export_onnx(ExplainingGraph(served), folder / EXPLAIN_GRAPH)
    outputs = GraphSession(folder / FP32_GRAPH).run(val.images, batch_size=_BATCH_SIZE)

    document = ModelConfigFile(
        name=config.name,
        architecture=model.config.to_dict(),
        taxonomy=dataset.taxonomy,
        preprocessing=dataset.preprocessing,
        **asdict(scaling),
        thresholds=fit_thresholds(
            outputs,
            val.labels,
            val.rows["group_id"].to_numpy(dtype=object),
            dataset.taxonomy.names,
            abstain_share=config.abstain_share,
            turned_away_share=config.out_of_distribution_share,
            sensitivity=config.class_sensitivity,
        ),
        dataset_version=dataset.content_hash,
        graph=FP32_GRAPH,
        synthetic=dataset.synthetic,
        library_version=__version__,
    )
    metrics = _metrics(outputs, val.labels, fitted) | {
        **asdict(scaling),
        "parameters": parameter_count(model.config),
    }
    document.write(folder)
    write_json(folder / METRICS_FILE, metrics)
    _reference(outputs, val, dataset.taxonomy.names).to_parquet(
        folder / REFERENCE_FILE, index=False, compression="zstd"
    )
    learned = training_record(dataset, config, fitted, start=start)
    learned.write(folder)
    (folder / CARD_FILE).write_text(model_card(document, learned, metrics), encoding="utf-8")
    return metrics


def _logits(model: ViT, data: SplitData) -> npt.NDArray[np.float32]:
    """float32 (images, classes) of a split, on the CPU and without augmentation."""
    with torch.inference_mode():
        batches = even_batches(data, batch_size=_BATCH_SIZE, share=Share())
        return torch.cat([model(pixels.float() / 255).logits for pixels, _ in batches]).numpy()


def _metrics(outputs: Outputs, labels: npt.NDArray[np.int64], fitted: Fitted) -> dict[str, float | int | None]:
    """Figures on val of the served graph, and what training cost."""
    speeds = [figures.images_per_second for figures in fitted.epochs]
    known = overall(outputs.probabilities, labels)
    figures = {
        "loss": known.pop("nll"),  # as it is called while training
        **known,
        "images": len(labels),
        "epochs": len(fitted.epochs),
        "best_epoch": fitted.best_epoch,
        "seconds": fitted.seconds,
        "images_per_second": float(np.median(speeds)),
    }
    if gpu := fitted.epochs[-1].peak_gpu_memory_megabytes:
        figures["peak_gpu_memory_megabytes"] = gpu
    return {name: None if math.isnan(value) else value for name, value in figures.items()}


def _reference(outputs: Outputs, val: SplitData, classes: tuple[str, ...]) -> pd.DataFrame:
    """Embeddings and scores of val, one row an image: what live traffic is compared with to see drift."""
    names = np.asarray(classes, dtype=object)
    # which images belong together, and not to whom: a number that means nothing outside this file
    patient = np.unique(val.rows["group_id"].to_numpy(dtype=object), return_inverse=True)[1]
    return pd.DataFrame(
        {
            "image_id": val.rows["image_id"].astype("string"),
            "patient": patient.astype(np.int32),
            "label": pd.array(names[val.labels], dtype="string"),
            "predicted": pd.array(names[outputs.probabilities.argmax(axis=1)], dtype="string"),
            "confidence": outputs.probabilities.max(axis=1),
            "ood_score": outputs.ood_score,
            "probabilities": list(outputs.probabilities),  # in the order of the model's classes
            "embedding": list(outputs.embedding),
        }
    )
