"""What there is to say of a run to MLflow, kept in a folder until MLflow has it.

    run.json         which run, where, and how it ended
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
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from secondread.atomic import read_json, write_json
from secondread.errors import InputError
from secondread.tracking.journal import Journal

RUN_FILE = "run.json"


@dataclass(frozen=True)
class RunRecord:
    """The record of one run.

    Attributes:
        root: its folder.
        run_id: of the run in MLflow.
        place: address of that MLflow, without a password.
    """

    root: Path
    run_id: str
    place: str

    @classmethod
    def create(cls, root: Path, *, run_id: str, place: str, addition: bool = False) -> RunRecord:
        """Begin a record; what another run left in the folder is removed.

        Args:
            root: its folder.
            run_id: of the run in MLflow.
            place: address of that MLflow, without a password.
            addition: it is added to a run that has ended, whose status and times stay as they are.
        """
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        write_json(root / RUN_FILE, {"run_id": run_id, "place": place, **({"addition": True} if addition else {})})
        return cls(root, run_id, place)

    @classmethod
    def open(cls, root: Path) -> RunRecord:
        """Open a record.

        Raises:
            InputError: there is none.
        """
        if not (root / RUN_FILE).is_file():
            raise InputError(
                f"{root} holds no record of a run (no {RUN_FILE}). Name the folder that the training named at its end; "
                "it is removed when the record is complete."
            )
        document = read_json(root / RUN_FILE)
        return cls(root, document["run_id"], document["place"])

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
        write_json(self.root / RUN_FILE, {"run_id": self.run_id, "place": self.place, "status": status, "time": now})

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
