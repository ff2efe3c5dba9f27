"""What a training process is told and what it gives back, as files in a work folder that both sides can read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load, load_file, save
from torch import Tensor

from secondread import errors
from secondread.atomic import read_json, sha256_bytes, write_json
from secondread.config.mapping import from_mapping
from secondread.config.train import TrainConfig
from secondread.errors import IntegrityError, SecondReadError
from secondread.training.epochs import EpochFigures
from secondread.training.fit import Fitted

JOB_FILE = "job.json"
WEIGHTS_FILE = "weights.safetensors"
RESULT_FILE = "result.json"
ERROR_FILE = "error.json"


@dataclass(frozen=True)
class Job:
    """One training that several processes do together.

    Attributes:
        dataset: folder of the dataset version.
        config: recipe, as a mapping.
        work: folder for results and checkpoints, that every process and every later try of the same run sees.
        tracked: whether rank zero notes its epochs in the record of a run that lies in the work folder. Whoever wrote
            the job sends them to MLflow, whose address may hold a password and is in no file.
        start: file of weights to begin with; empty for random ones.
    """

    dataset: str
    config: Mapping[str, Any]
    work: str
    tracked: bool = False
    start: str = ""

    @property
    def train_config(self) -> TrainConfig:
        """The recipe."""
        return from_mapping(TrainConfig, self.config)

    def start_weights(self) -> dict[str, Tensor] | None:
        """Weights to begin with."""
        return load_file(self.start) if self.start else None

    def write(self) -> Path:
        """Write the job into its work folder and give the file's path."""
        path = Path(self.work) / JOB_FILE
        write_json(path, asdict(self))
        return path

    @classmethod
    def read(cls, path: Path) -> Job:
        """Read a job."""
        return cls(**read_json(path))


def write_fitted(fitted: Fitted, work: Path, *, rank: int) -> None:
    """Write what a process came to: the digest of its weights, and on rank zero the weights themselves."""
    weights = save(fitted.state)
    digest_file(work, rank).write_text(sha256_bytes(weights), encoding="utf-8")
    if rank == 0:
        (work / WEIGHTS_FILE).write_bytes(weights)
        epochs = [asdict(figures) for figures in fitted.epochs]
        write_json(work / RESULT_FILE, {"best_epoch": fitted.best_epoch, "seconds": fitted.seconds, "epochs": epochs})


def read_fitted(work: Path, *, processes: int) -> Fitted:
    """Read what the processes came to.

    Raises:
        RuntimeError: they did not come to the same weights.
        IntegrityError: the weights are not those that they came to.
    """
    digests = {digest_file(work, rank).read_text(encoding="utf-8") for rank in range(processes)}
    if len(digests) != 1:
        raise RuntimeError(f"{processes} training processes ended with {len(digests)} different sets of weights")
    weights = (work / WEIGHTS_FILE).read_bytes()
    if {sha256_bytes(weights)} != digests:
        raise IntegrityError(f"{work / WEIGHTS_FILE} is not what the training wrote. Look after the volume.")
    result = json.loads((work / RESULT_FILE).read_text(encoding="utf-8"))
    return Fitted(
        state=load(weights),
        best_epoch=result["best_epoch"],
        epochs=[EpochFigures(**figures) for figures in result["epochs"]],
        seconds=result["seconds"],
    )


def digest_file(work: Path, rank: int) -> Path:
    """Where a process leaves the SHA-256 of its weights."""
    return work / f"weights-{rank}.sha256"


def leave_error(error: SecondReadError, work: Path) -> None:
    """Write an error down for whoever started the processes."""
    write_json(work / ERROR_FILE, {"kind": type(error).__name__, "message": str(error)})


def error_from(document: Mapping[str, str]) -> SecondReadError:
    """The error that a process left with `leave_error`, of the class it had there."""
    kind = getattr(errors, document["kind"], SecondReadError)
    made = kind(document["message"])
    return made if isinstance(made, SecondReadError) else SecondReadError(document["message"])
