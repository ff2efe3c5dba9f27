"""What there is to say of a run to MLflow, kept in a folder until MLflow has it.

    run.json         which run, or how to begin it; where, and how it ended
    figures.jsonl    parameters and figures, in order, with the time and step that they are of
    files.jsonl      which folders below `files/` belong where among the run's artifacts
    *.sent.json      how far each list has been sent

Sending again what MLflow has changes nothing there: it knows a figure by its run, name, step, time and value, and a
file by its path. So a process may be killed between sending something and noting that it was sent.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from secondread.atomic import read_json, write_json
from secondread.errors import InputError
from secondread.tracking.journal import Journal

RUN_FILE = "run.json"


@dataclass(frozen=True)
class NewRun:
    """A run that MLflow does not have yet: it is begun when the record is sent.

    Attributes:
        experiment: name that it belongs under.
        tags: of the run, `mlflow.runName` among them.
        key: that no other run has; by it the run is found where it was begun and nobody noted its id.
        start: milliseconds since 1970.
    """

    experiment: str
    tags: Mapping[str, str]
    key: str
    start: int


@dataclass(frozen=True)
class RunRecord:
    """The record of one run.

    Attributes:
        root: its folder.
        run_id: of the run in MLflow; empty of one that is to be begun there.
        place: address of that MLflow, without a password.
        new: how it is to be begun; None where it was.
    """

    root: Path
    run_id: str
    place: str
    new: NewRun | None = None

    @classmethod
    def create(
        cls, root: Path, *, run_id: str = "", place: str, addition: bool = False, new: NewRun | None = None
    ) -> RunRecord:
        """Begin a record; what another run left in the folder is removed.

        Args:
            root: its folder.
            run_id: of the run in MLflow; empty of a new one.
            place: address of that MLflow, without a password.
            addition: it is added to a run that has ended, whose status and times stay as they are.
            new: the run is to be begun like this.
        """
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        record = cls(root, run_id, place, new)
        write_json(root / RUN_FILE, {**record._known(), **({"addition": True} if addition else {})})
        return record

    @classmethod
    def open(cls, root: Path) -> RunRecord:
        """Open a record.

        Raises:
            InputError: there is none.
        """
        if not (root / RUN_FILE).is_file():
            raise InputError(
                f"{root} holds no record of a run (no {RUN_FILE}). Name the folder that was told when MLflow was away; "
                "it is removed when the record is complete."
            )
        document = read_json(root / RUN_FILE)
        new = document.get("new")
        return cls(root, document["run_id"], document["place"], NewRun(**new) if new else None)

    @property
    def figures(self) -> Journal:
        """Parameters and figures."""
        return Journal(self.root / "figures.jsonl")

    @property
    def files(self) -> Journal:
        """Folders of files."""
        return Journal(self.root / "files.jsonl")

    def add_params(self, params: Mapping[str, str]) -> None:
        """Note settings."""
        self.figures.append({"params": dict(params)})

    def add_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Note figures of a step, as of now."""
        self.figures.append({"metrics": dict(metrics), "step": step, "time": time.time_ns() // 1_000_000})

    def add_file(self, name: str, content: bytes) -> None:
        """Keep a file, whose name may hold folders: `checkpoints/last.safetensors`."""
        path = PurePosixPath(name)
        folder = self._new_folder()
        folder.mkdir(parents=True)
        (folder / path.name).write_bytes(content)
        self._add_folder(folder, "" if str(path.parent) == "." else str(path.parent))

    def add_folder(self, source: Path, name: str) -> None:
        """Keep a folder's files as they are now, by a second name on the disk where there can be one."""
        folder = self._new_folder()
        shutil.copytree(source, folder, copy_function=_link_or_copy)
        self._add_folder(folder, name)

    def _new_folder(self) -> Path:
        return self.root / "files" / uuid.uuid4().hex[:12]

    def _add_folder(self, folder: Path, name: str) -> None:
        self.files.append({"at": str(folder.relative_to(self.root)), "to": name})

    def end(self, status: str) -> None:
        """Note how the run ended, and when: MLflow is told after everything else."""
        now = time.time_ns() // 1_000_000
        write_json(self.root / RUN_FILE, {**self._known(), "status": status, "time": now})

    def begun(self, run_id: str) -> RunRecord:
        """Note that MLflow has the run."""
        write_json(self.root / RUN_FILE, {**read_json(self.root / RUN_FILE), "run_id": run_id, "new": None})
        return replace(self, run_id=run_id, new=None)

    def _known(self) -> dict[str, Any]:
        return {"run_id": self.run_id, "place": self.place, **({"new": asdict(self.new)} if self.new else {})}

    def reopen(self) -> None:
        """Note that the run goes on."""
        write_json(self.root / RUN_FILE, {"run_id": self.run_id, "place": self.place})

    def ended(self) -> tuple[str, int] | None:
        """Status and time in milliseconds; None of a run that goes on, or was killed."""
        document = read_json(self.root / RUN_FILE)
        return (document["status"], document["time"]) if "status" in document else None

    def is_addition(self) -> bool:
        """It is added to a run that has ended, and nothing more is to come."""
        return bool(read_json(self.root / RUN_FILE).get("addition", False))

    def told(self) -> set[tuple[str, int]]:
        """Names and steps of all figures noted so far."""
        noted = (entry for entry, _ in self.figures.entries() if "metrics" in entry)
        return {(name, entry["step"]) for entry in noted for name in entry["metrics"]}

    def is_sent(self) -> bool:
        """MLflow has all figures and files."""
        return not any(True for journal in (self.figures, self.files) for _ in journal.unsent())


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)
