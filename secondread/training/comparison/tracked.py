"""A comparison in MLflow: a run of its own, with the trainings below it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondread.training.comparison.summary import COSTS
from secondread.training.tracked import abandon_trackers, open_tracker

if TYPE_CHECKING:
    # MLflow is no dependency of training
    from secondread.tracking.runs import RunTracker, TrackingConfig

_PARENT = "mlflow.parentRunId"  # the tag by which MLflow shows a run below another
_NAME = "mlflow.runName"
_MEASURED_FOLDER = "measured.tracking"


class Tracked:
    """Where a comparison is written down.

    Args:
        uri: of MLflow; empty: nowhere.
        experiment: name that runs are grouped under.
        name: of the comparison, for people.
        tags: of all its runs.
    """

    def __init__(self, uri: str, experiment: str, *, name: str, tags: Mapping[str, str]) -> None:
        self._uri, self._experiment, self._name, self._tags = uri, experiment, name, dict(tags)
        self._run: RunTracker | None = None

    @contextmanager
    def opened(self, about: Mapping[str, Any], folder: Path, *, output: Path, storage: str = "") -> Iterator[None]:
        """Have the comparison's own run open, the same one after a kill, and write down what is about to be compared.

        Args:
            about: what decides what the trainings come to.
            folder: of the comparison while it runs; the run's record is in it.
            output: folder of the comparison; a record that MLflow lacks some of is left beside it, or in
            storage: a folder on a volume, where a pod takes the output with it.
        Raises:
            DependencyError: MLflow does not answer at the start.
        """
        with open_tracker(self._config(about), folder, output=output, storage=storage) as self._run:
            if self._run:
                settings = {name: about[name] for name in ("seeds", "split")}
                strategies = ", ".join(about["strategies"])
                self._run.log_params({**settings, "strategies": strategies, **about["recipe"]})
                self._run.confirm()
            yield

    def forget(self, about: Mapping[str, Any], folder: Path, *, output: Path, storage: str = "") -> None:
        """End the runs of a comparison of something else that was cut here.

        Args:
            about: what decides what the trainings come to.
            folder: that it left.
            output: as for `opened`.
            storage: as for `opened`.
        """
        abandon_trackers(self._config(about), folder, output=output, storage=storage)

    def _config(self, about: Mapping[str, Any]) -> TrackingConfig | None:
        if not self._uri:
            return None
        from secondread.tracking.runs import TrackingConfig

        own = {"comparison": self._name, "dataset_version": about["dataset_version"], _NAME: self._name}
        return TrackingConfig(self._uri, self._experiment, self._tags | own)

    @property
    def environment(self) -> dict[str, str]:
        """What a training's process must know; not in its job file, since an address may hold a password."""
        return {"MLFLOW_TRACKING_URI": self._uri} if self._uri else {}

    def tags_of(self, strategy: str, seed: int) -> dict[str, str] | None:
        """Tags of one training, below the run that is open; None where nothing is written down."""
        if self._run is None:
            return None
        known = {"comparison": self._name, "strategy": strategy, "seed": str(seed), _NAME: f"{strategy}, seed {seed}"}
        return self._tags | known | {_PARENT: self._run.run_id}

    def add_cost(self, run: Mapping[str, Any], folder: Path) -> None:
        """Add to a training's run what only who watched it knows.

        Args:
            run: what the training came to.
            folder: of the training.
        """
        if self._run is None:
            return
        from secondread.tracking.addition import add_to_run

        cost = {name: float(run[name]) for name in ("wall_seconds", "peak_memory_mib")}
        add_to_run(self._uri, run["run_id"], metrics=cost, left=folder / _MEASURED_FOLDER)

    def tell_end(self, record: Mapping[str, Any], files: Sequence[Path]) -> None:
        """Write down what came of it.

        Args:
            record: as `compare` gives.
            files: to keep with the run.
        """
        if self._run is None:
            return
        self._run.log_metrics(_means(record), 0)
        for path in files:
            self._run.log_file(f"comparison/{path.name}", path.read_bytes())


def tell_left(output: Path) -> None:
    """Say what to do with the records of trainings that MLflow lacks some of: their own logs say it to nobody.

    Args:
        output: folder of the comparison.
    """
    left = sorted(path for path in output.glob("*/*.tracking*") if path.is_dir())
    if left:
        from secondread.tracking.record import RunRecord
        from secondread.tracking.training_run import tell_how_to_complete

        for folder in left:
            tell_how_to_complete(RunRecord.open(folder), folder)


def _means(record: Mapping[str, Any]) -> dict[str, float]:
    """`single_accuracy`, ... with the bounds of the intervals of accuracy."""
    figures = {}
    for strategy, known in record["strategies"].items():
        for name in ("accuracy", "auroc_macro", "loss", *COSTS):
            if name in known:
                figures[f"{strategy}_{name}"] = known[name]["value"]
        for side in ("low", "high"):
            if known["accuracy"][side] is not None:
                figures[f"{strategy}_accuracy_{side}"] = known["accuracy"][side]
    return figures
