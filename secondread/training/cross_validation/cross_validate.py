"""Cross-validation of a recipe on a dataset version, folds side by side where the machine allows.

cross-validation.json   figures of each fold, their mean, and of all held-out predictions together
predictions.parquet     every held-out image once: fold, image_id, group_id, label, probabilities, and `served`
                        (those of the graph that would be served) where models were quantized
fold-1/ ...             what each fold left: its model, figures and log

All images but `final_eval` take part: those of the version's own test split are held out once, as all are, and learned
from otherwise. So a recipe is judged by this, never a model that is then compared on test.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import pandas as pd

from secondread.atomic import atomic_file, read_json, resumable_folder, sha256_file, write_json
from secondread.child import RESULT_FILE, Child
from secondread.config.mapping import from_mapping
from secondread.config.require import require, require_seed
from secondread.config.train import TrainConfig
from secondread.data.engines.journal import resume_key
from secondread.data.versions.dataset import DatasetVersion
from secondread.data.versions.folds import deal_folds, divided
from secondread.errors import InputError, IntegrityError
from secondread.logging import get_logger
from secondread.progress import track
from secondread.training.cross_validation.schedule import Machine, Schedule, schedule
from secondread.training.cross_validation.summary import PREDICTIONS_FILE, over_folds, pooled, quantized
from secondread.training.cross_validation.tracked import tell_end, tell_start
from secondread.training.fit import preset_name
from secondread.training.interval import LEVEL
from secondread.training.start import open_start
from secondread.training.strategies.interrupted import stopped_by_sigterm
from secondread.training.tracked import abandon_trackers, open_tracker

if TYPE_CHECKING:
    # MLflow is no dependency of training
    from secondread.tracking.runs import TrackingConfig

RECORD_FILE = "cross-validation.json"
_SCHEDULE_FILE = "schedule.json"
_UNSERVED = {"audit_images": 0, "explain": False}  # a fold's model is judged and not served: nothing for people
_FOLD_MODULE = "secondread.training.cross_validation.fold"

log = get_logger(__name__)


@dataclass(frozen=True)
class Plan:
    """How the images are dealt.

    Attributes:
        folds: how many; each image is held out in one.
        group: what is never in two parts of a fold: `group_id`, `patient_id` or `image_id`.
        seed: of the dealing; that of the training is the recipe's.
    """

    folds: int = 5
    group: str = "group_id"
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.folds >= 2, f"folds must be at least 2, not {self.folds}.")
        require_seed("seed", self.seed)


def cross_validate(
    dataset: DatasetVersion,
    output: Path,
    config: TrainConfig,
    plan: Plan,
    *,
    at_once: int = 0,
    start: Path | None = None,
    quantize: bool = False,
    tracking: TrackingConfig | None = None,
) -> dict[str, Any]:
    """Train and judge a model a fold. A run that was killed goes on with the folds that it has not done.

    Args:
        dataset: whose images are dealt, all but those of `final_eval`.
        output: folder to write; it appears whole or not at all.
        config: recipe, the same for each fold.
        plan: how the images are dealt.
        at_once: folds that train at the same time; 0: as many as the machine allows.
        start: folder of a model or a pre-training, whose weights each fold begins with; None for random ones.
        quantize: quantize each fold's model too, and say what the graph that would be served loses.
        tracking: where the cross-validation is written down, as one run; None for nowhere.
    Returns:
        What `cross-validation.json` says: `folds`, `metrics` (mean over folds with t interval), `pooled` (of all
        held-out predictions, intervals by group), and how the images were dealt; with `quantize` also `quantized`, by
        how much the served graphs differ.
    Raises:
        InputError: the images cannot be dealt so, `start` has learned from them or from those of the version's parent,
            or a training refuses them.
        DependencyError: MLflow does not answer at the start.
        StoppedError: the process was asked to end.
    """
    began = _began(start, dataset, config)
    dealt = deal_folds(dataset.manifest, **asdict(plan))
    about = {
        "dataset_version": dataset.content_hash,
        "synthetic": dataset.synthetic,
        "classes": list(dataset.taxonomy.names),
        **{"group": plan.group, "seed": plan.seed, "level": LEVEL},
        "groups_in_several_folds": divided(dataset.manifest, dealt),
        "recipe": {**asdict(config), "preset": preset_name(dataset, config)},
        "start": began,
    }
    # of everything that decides what the folds come to
    key = resume_key("cross-validation", about, plan.folds, quantize, version("torch"))
    inputs = [dataset.root]
    forget = partial(abandon_trackers, tracking, output=output, storage=config.storage)
    with (
        stopped_by_sigterm(),
        resumable_folder(
            output, marker=RECORD_FILE, key=key, inputs=inputs, forget=forget, kept_after=(IntegrityError,)
        ) as folder,
        open_tracker(tracking, folder, output=output, storage=config.storage) as tracker,
    ):
        if tracker:
            tell_start(tracker, about, folds=plan.folds)
        planned = _planned(folder, config, plan.folds, image_size=dataset.image_size, at_once=at_once)
        jobs = [
            {
                "dataset": str(dataset.root.resolve()),
                "fold": fold,
                **asdict(plan),
                "config": {**asdict(config), **_UNSERVED, "threads": planned.threads[fold - 1]},
                "start": str(start.resolve()) if start else "",
                "quantize": quantize,
            }
            for fold in range(1, plan.folds + 1)
        ]
        results = _run(jobs, folder, planned)
        predictions = _pool(folder, plan.folds)
        record = about | {
            "folds": results,
            "metrics": over_folds(results),
            "pooled": pooled(predictions, dataset.taxonomy.names, seed=plan.seed),
        }
        if quantize:
            record["quantized"] = quantized(predictions, dataset.taxonomy.names, seed=plan.seed)
        write_json(folder / RECORD_FILE, record)
        if tracker:
            tell_end(tracker, record, [folder / RECORD_FILE, folder / PREDICTIONS_FILE])
    return record


def _began(start: Path | None, dataset: DatasetVersion, config: TrainConfig) -> dict[str, str]:
    """What all folds begin with: digest of the weights, and the version that these were learned from."""
    opened = open_start(start, dataset, config)
    if opened is None:
        return {}
    if opened.dataset_version in (dataset.content_hash, dataset.parent):  # a child has its parent's train images
        whose = dataset.root if opened.dataset_version == dataset.content_hash else f"the parent of {dataset.root}"
        raise InputError(
            f"{start} has learned from {whose}, so from images that the folds hold out. Start from weights that were "
            "learned elsewhere."
        )
    return {"weights_sha256": sha256_file(Path(opened.weights)), "dataset_version": opened.dataset_version}


def _planned(folder: Path, config: TrainConfig, folds: int, *, image_size: int, at_once: int) -> Schedule:
    """The schedule that an earlier run made, or one for this machine as it is now.

    How much memory is free is another each time, and another number of threads would be another training.
    """
    path = folder / _SCHEDULE_FILE
    if not path.is_file() or at_once:
        planned = schedule(config, folds, Machine.here(), image_size=image_size, at_once=at_once)
        write_json(path, asdict(planned))
    return from_mapping(Schedule, read_json(path))


def _fold_folder(folder: Path, fold: int) -> Path:
    return folder / f"fold-{fold}"


def _run(jobs: Sequence[Mapping[str, Any]], folder: Path, planned: Schedule) -> list[dict[str, Any]]:
    """Run the folds that have no result yet; the first error ends the others."""
    results = {job["fold"]: read_json(path) for job in jobs if (path := _result(folder, job)).is_file()}
    if results:
        log.info("%d of %d folds are done already", len(results), len(jobs))
    left = [job for job in jobs if job["fold"] not in results]
    places: SimpleQueue[str] = SimpleQueue()
    for devices in planned.devices:
        places.put(devices)
    children = _Children()
    # each child is started by a thread that waits for it: the kernel ends a child with the thread that started it
    with ThreadPoolExecutor(planned.at_once) as pool, children.stopped_at_the_end():
        done = as_completed([pool.submit(_fold, job, folder, places, children) for job in left])
        for future in track(done, "folds", total=len(left)):
            result = future.result()
            results[result["fold"]] = result
            known = (f"{name} {value:.4f}" for name, value in result["metrics"].items() if value is not None)
            log.info("fold %d: %s", result["fold"], ", ".join(known))
    return [results[fold] for fold in sorted(results)]


def _result(folder: Path, job: Mapping[str, Any]) -> Path:
    return _fold_folder(folder, job["fold"]) / RESULT_FILE


def _fold(job: Mapping[str, Any], folder: Path, places: SimpleQueue[str], children: _Children) -> dict[str, Any]:
    """One fold, in a place that is free."""
    devices = places.get()
    try:
        environment = {"OMP_NUM_THREADS": str(job["config"]["threads"])}
        if devices:
            environment["CUDA_VISIBLE_DEVICES"] = devices
        child = children.start(job, _fold_folder(folder, job["fold"]), environment)
        result: dict[str, Any] = child.result()
        return result
    finally:
        places.put(devices)


class _Children:
    """Those that run, so that all can be ended at once; none is started after that."""

    def __init__(self) -> None:
        self._children: list[Child] = []
        self._lock = threading.Lock()
        self._ended = False

    def start(self, job: Mapping[str, Any], folder: Path, environment: Mapping[str, str]) -> Child:
        with self._lock:
            if self._ended:
                raise RuntimeError("this cross-validation has ended")
            child = Child(_FOLD_MODULE, job, folder, environment=environment)
            self._children.append(child)
            return child

    @contextlib.contextmanager
    def stopped_at_the_end(self) -> Iterator[None]:
        try:
            yield
        finally:
            with self._lock:
                self._ended = True
            for child in self._children:
                child.stop()


def _pool(folder: Path, folds: int) -> pd.DataFrame:
    """All held-out predictions, also written as one file."""
    parts = [
        pd.read_parquet(_fold_folder(folder, fold) / PREDICTIONS_FILE).assign(fold=fold) for fold in range(1, folds + 1)
    ]
    predictions = pd.concat(parts, ignore_index=True)
    with atomic_file(folder / PREDICTIONS_FILE) as aside:
        predictions.to_parquet(aside, index=False, compression="zstd")
    return predictions
