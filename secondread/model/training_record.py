"""What a model learned from, and how: `training.json` of its folder, which the model card is filled from.

The card is written when the model was trained, and again with each evaluation. An evaluation may run where the training
images are not; what is to be said of them is therefore kept with the model. It is no part of what is served, and
changes no digest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from secondread.atomic import read_json, write_json
from secondread.errors import IntegrityError

TRAINING_FILE = "training.json"


@dataclass(frozen=True)
class SourceCount:
    """Images of one source under one licence: each image keeps its own.

    Attributes:
        source, licence: as the manifest has them; empty where it does not say.
        images: how many, of all splits.
    """

    source: str
    licence: str
    images: int


@dataclass(frozen=True)
class StartedFrom:
    """The weights that a training began with.

    Attributes:
        dataset_version: content hash of the version that they were learned from.
        labelled: learned with labels, so a model; otherwise a pre-training.
        may_have_seen: they may have been learned from images that the model's own version holds out.
    """

    dataset_version: str
    labelled: bool
    may_have_seen: bool


@dataclass(frozen=True)
class GivenAway:
    """How well something that must not tell the label tells it: see `secondread.data.audit.shortcuts`.

    Attributes:
        name: of the trait, such as `source`, `image_size`, `border_pixels` or `corners`.
        modality: of the classes that were told apart; empty where it is not known.
        severity: `none`, `worth a look` or `serious`.
        value, low, high: balanced accuracy in [0, 1] on patients not seen, and its interval.
        chance: of guessing.
        images: that it was measured on.
        sentence: for people.
    """

    name: str
    modality: str
    severity: str
    value: float
    low: float
    high: float
    chance: float
    images: int
    sentence: str


@dataclass(frozen=True)
class SetFinding:
    """What else the audit found in the set: see `secondread.data.audit.findings`.

    Attributes:
        name, title: for machines, and for people.
        severity: `worth a look` or `serious`.
        sentence: for people.
    """

    name: str
    title: str
    severity: str
    sentence: str


@dataclass(frozen=True)
class SetAudit:
    """What an audit of the version that a model learned from says.

    Attributes:
        shortcuts: all that could be measured, the worst first.
        findings: what was found; nothing of what was looked for and is not there.
        notes: what could not be measured, and why.
    """

    shortcuts: tuple[GivenAway, ...] = ()
    findings: tuple[SetFinding, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def telling(self) -> tuple[GivenAway, ...]:
        """Shortcuts that tell at least something of the label."""
        return tuple(item for item in self.shortcuts if item.severity != "none")


@dataclass(frozen=True)
class TrainingRecord:
    """What a model learned from, and how.

    Attributes:
        dataset_version: content hash.
        counts: images by split and class.
        sources: images by source and licence.
        preset: of the architecture.
        epochs: that were trained.
        best_epoch: that the weights are of, from 1.
        seconds: that it took.
        processes: that trained together.
        seed: of weights, order and augmentation.
        start: what it began with; None for random weights.
        audit: of the version; None where it was not asked for.
    """

    dataset_version: str
    counts: Mapping[str, Mapping[str, int]]
    sources: tuple[SourceCount, ...]
    preset: str
    epochs: int
    best_epoch: int
    seconds: float
    processes: int
    seed: int
    start: StartedFrom | None = None
    audit: SetAudit | None = None

    def write(self, folder: Path) -> None:
        """Write `training.json` into a model folder."""
        write_json(folder / TRAINING_FILE, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> TrainingRecord | None:
        """What a model folder says of its training; None where it says nothing, as folders of before.

        Raises:
            IntegrityError: the record is damaged.
        """
        path = folder / TRAINING_FILE
        if not path.is_file():
            return None
        try:
            return cls._from(read_json(path))
        except (KeyError, TypeError) as error:
            raise IntegrityError(
                f"{path} is no record of a training ({error}). Train the model again, or remove it."
            ) from error

    @classmethod
    def _from(cls, document: Mapping[str, Any]) -> TrainingRecord:
        start, audit = document["start"], document["audit"]
        parts = {
            "sources": tuple(SourceCount(**item) for item in document["sources"]),
            "start": StartedFrom(**start) if start else None,
            "audit": SetAudit(
                shortcuts=tuple(GivenAway(**item) for item in audit["shortcuts"]),
                findings=tuple(SetFinding(**item) for item in audit["findings"]),
                notes=tuple(audit["notes"]),
            )
            if audit
            else None,
        }
        return cls(**{**document, **parts})
