"""Which MLflow run a model folder came from, kept in the folder, so that whoever registers it later can say so."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from secondread.atomic import read_json, write_json
from secondread.errors import IntegrityError

ORIGIN_FILE = "tracking.json"


@dataclass(frozen=True)
class Origin:
    """Where a model was trained.

    Attributes:
        run_id: of the MLflow run; empty if it was not tracked.
        artifacts: path of the model folder among the run's artifacts.
    """

    run_id: str = ""
    artifacts: str = "model"

    def write(self, model: Path) -> None:
        """Write it into a model folder."""
        write_json(model / ORIGIN_FILE, asdict(self))

    @classmethod
    def read(cls, model: Path) -> Origin:
        """What a model folder says of its origin; nothing known where it says nothing.

        Raises:
            IntegrityError: the record is damaged.
        """
        path = model / ORIGIN_FILE
        if not path.is_file():
            return cls()
        try:
            return cls(**read_json(path))
        except TypeError as error:
            raise IntegrityError(
                f"{path} is no record of a run ({error}). Train the model again, or remove it."
            ) from error
