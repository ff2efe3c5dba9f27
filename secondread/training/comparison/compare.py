"""Trains the same recipe by several strategies and seeds, one after the other, and puts them beside each other.

comparison.json    every run, and of each strategy the means with intervals over seeds
comparison.html    the same for people: a table, and a picture of accuracy against time
single-0/ ...      what each run left: its model, figures and log
"""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from secondread.atomic import read_json, resumable_folder, write_json
from secondread.child import Child
from secondread.config.require import require, require_seed
from secondread.config.train import TrainConfig
from secondread.data.engines.journal import resume_key
from secondread.data.versions.dataset import DatasetVersion
from secondread.errors import DependencyError, InputError, IntegrityError
from secondread.logging import get_logger
from secondread.progress import track
from secondread.training.comparison.footprint import watch
from secondread.training.comparison.page import comparison_page
from secondread.training.comparison.summary import by_strategy
from secondread.training.comparison.tracked import Tracked, tell_left
from secondread.training.fit import preset_name
from secondread.training.interval import LEVEL
from secondread.training.strategies.interrupted import stopped_by_sigterm

RECORD_FILE = "comparison.json"
PAGE_FILE = "comparison.html"
RETRAIN = "retrain"
CHOICES = ("single", "ddp", "fsdp", "ray", RETRAIN)
_MEASURED_FILE = "measured.json"
_RUN_MODULE = "secondread.training.comparison.run"
_NEEDED = {"ray": "ray"}  # packages that come with an extra of the same name

log = get_logger(__name__)


@dataclass(frozen=True)
class Comparison:
    """What is compared.

    Attributes:
        strategies: of `CHOICES`; `retrain` trains on from the model of `single` with the same seed.
        seeds: of the trainings; the interval is over these.
        split: that models are judged on. Looking at test more than once spoils it: a choice belongs on val.
    """

    strategies: tuple[str, ...]
    seeds: tuple[int, ...] = (0, 1, 2)
    split: str = "val"

    def __post_init__(self) -> None:
        for name in self.strategies:
            require(name in CHOICES, f"there is no '{name}' to compare. Choose of {', '.join(CHOICES)}.")
        for what, values in (("strategies", self.strategies), ("seeds", self.seeds)):
            require(0 < len(set(values)) == len(values), f"{what} must be at least one, and each one once.")
        require(
            RETRAIN not in self.strategies or "single" in self.strategies,
            "retrain goes on from the models of single: compare both.",
        )
        require(self.split in ("val", "test"), f"split must be val or test, not '{self.split}'.")
        for seed in self.seeds:
            require_seed("seed", seed)

    @property
    def runs(self) -> list[tuple[str, int]]:
        """Strategy and seed of each run, seed by seed: a machine that gets slower does so for all strategies."""
        ordered = sorted(self.strategies, key=lambda name: name == RETRAIN)  # stable: what it starts from is before it
        return [(name, seed) for seed in self.seeds for name in ordered]


def compare(
    dataset: DatasetVersion,
    output: Path,
    config: TrainConfig,
    comparison: Comparison,
    *,
    retrain_on: DatasetVersion | None = None,
    tracking_uri: str = "",
    tags: Mapping[str, str] = {},
) -> dict[str, Any]:
    """Train and judge a model for each strategy and seed. A run that was killed goes on with what it has not done.

    Args:
        dataset: that is trained on, and whose val (or test) all models are judged on.
        output: folder to write; it appears whole or not at all.
        config: recipe; its strategy and seed are replaced.
        comparison: what is compared.
        retrain_on: version that `retrain` trains on, such as a child of `dataset`; `dataset` by default.
        tracking_uri: of MLflow, for a run of the comparison with the trainings below it; empty: none.
        tags: of all these runs, such as the revision of the code.
    Returns:
        What `comparison.json` says: `strategies`, each with means and intervals; and `runs`.
    Raises:
        DependencyError: a strategy's package is not installed, or MLflow does not answer when a training begins.
        InputError: a training refuses the recipe or the images, or `retrain_on` has judged images in train.
        StoppedError: the process was asked to end.
    """
    _check_installed(comparison)
    if retrain_on is None:
        retrain_on = dataset
    else:
        _check_apart(retrain_on, dataset, split=comparison.split)
    about = {
        "dataset_version": dataset.content_hash,
        "retrained_on": retrain_on.content_hash if RETRAIN in comparison.strategies else "",
        **asdict(comparison),
        "synthetic": dataset.synthetic,
        "level": LEVEL,
        "recipe": {**asdict(config), "preset": preset_name(dataset, config)},
    }
    key = resume_key("comparison", about, version("torch"))
    inputs = [dataset.root, retrain_on.root]
    tracked = Tracked(tracking_uri, config.name, name=f"compare {dataset.name}", tags=tags)
    forget = partial(tracked.forget, about, output=output, storage=config.storage)
    with (
        stopped_by_sigterm(),
        resumable_folder(
            output, marker=RECORD_FILE, key=key, inputs=inputs, forget=forget, kept_after=(IntegrityError,)
        ) as folder,
        tracked.opened(about, folder, output=output, storage=config.storage),
    ):
        jobs = list(_jobs(dataset, retrain_on, config, comparison, folder, tracked))
        runs = [_done(job, folder, tracked) for job in track(jobs, "trainings", total=len(jobs))]
        # through JSON, so that whoever calls sees what whoever reads the file sees
        record: dict[str, Any] = json.loads(
            json.dumps({**about, "strategies": by_strategy(runs, comparison.strategies), "runs": runs})
        )
        write_json(folder / RECORD_FILE, record)
        (folder / PAGE_FILE).write_text(comparison_page(record), encoding="utf-8")
        tracked.tell_end(record, [folder / RECORD_FILE, folder / PAGE_FILE])
    tell_left(output)
    return record


def _check_installed(comparison: Comparison) -> None:
    for name in comparison.strategies:
        package = _NEEDED.get(name)
        if package and importlib.util.find_spec(package) is None:
            raise DependencyError(
                f"strategy {name} needs the package {package}: pip install 'secondread[{name}]', or compare without it."
            )


def _check_apart(learned: DatasetVersion, judged: DatasetVersion, *, split: str) -> None:
    """Refuse where what is learned from shares groups or pictures with what is judged."""
    theirs, ours = learned.manifest, judged.manifest
    # val picks the best epoch: of no weight where models are judged on it anyway, but not where they are judged on test
    seen = theirs[theirs["split"].isin(["train"] if split == "val" else ["train", "val"])]
    held = ours[ours["split"] == split]
    shared = held["group_id"].isin(seen["group_id"]) | held["pixel_hash"].isin(seen["pixel_hash"])
    if shared.any():
        raise InputError(
            f"{int(shared.sum())} of {len(held)} images that models are judged on ({split} of {judged.root}) are "
            f"learned from in {learned.root}, or others of their groups are. Retrain on a child of that version: its "
            "images stay in their splits."
        )


def _jobs(
    dataset: DatasetVersion,
    retrain_on: DatasetVersion,
    config: TrainConfig,
    comparison: Comparison,
    folder: Path,
    tracked: Tracked,
) -> Iterator[dict[str, Any]]:
    """What each run is told."""
    for strategy, seed in comparison.runs:
        again = strategy == RETRAIN
        # models that are judged and not served need nothing for people
        recipe = replace(config, strategy="single" if again else strategy, seed=seed, audit_images=0, explain=False)
        yield {
            "strategy": strategy,
            "seed": seed,
            "split": comparison.split,
            "dataset": str(dataset.root.resolve()),
            "trained_on": str((retrain_on if again else dataset).root.resolve()),
            "start": str((_run_folder(folder, "single", seed) / "model").resolve()) if again else "",
            "config": asdict(recipe),
            "tags": tracked.tags_of(strategy, seed),
        }


def _run_folder(folder: Path, strategy: str, seed: int) -> Path:
    return folder / f"{strategy}-{seed}"


def _done(job: Mapping[str, Any], folder: Path, tracked: Tracked) -> dict[str, Any]:
    """What one run came to; it is not done again where a run that was cut has done it."""
    own = _run_folder(folder, job["strategy"], job["seed"])
    if (own / _MEASURED_FILE).is_file():
        measured: dict[str, Any] = read_json(own / _MEASURED_FILE)
        return measured
    started = time.perf_counter()
    child = Child(_RUN_MODULE, job, own, environment=tracked.environment)
    try:
        footprint = watch(child, started=started)
        result = child.result()
    finally:
        child.stop()
    measured = {**result, **asdict(footprint)}
    write_json(own / _MEASURED_FILE, measured)
    tracked.add_cost(measured, own)
    _tell(measured)
    return measured


def _tell(run: Mapping[str, Any]) -> None:
    log.info(
        "%s, seed %d: accuracy %.4f in %.0f s with %.0f MiB",
        *(run["strategy"], run["seed"], run["metrics"]["accuracy"], run["seconds"], run["peak_memory_mib"]),
    )
