"""What a step leaves behind so that the next need not trust the runner: `_SUCCESS.json`, or a record of its failure.

Runners have called failed steps a success, and caches have handed out artifacts that were gone. So a step writes its
success manifest last, with the hash of what it wrote, and the next one checks it first.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from secondread import __version__
from secondread.atomic import read_json, sha256_file, write_json
from secondread.errors import DependencyError, GateRefused, InputError, IntegrityError, SecondReadError, exit_code_of
from secondread.logging import get_logger

SUCCESS_FILE = "_SUCCESS.json"
FAILURE_SUFFIX = ".failure.json"
# What a container writes here Kubernetes reports as the reason of its end, and Argo as its node's message. KFP's
# launcher exits with 1 whatever the step exited with, so this is how a step's exit code gets out of a pod.
TERMINATION_LOG = Path("/dev/termination-log")
_TERMINATION_BYTES = 4096  # as many as Kubernetes keeps
_REPORTED = re.compile(r"secondread exit code (?P<exit_code>\d+) of (?P<step>[\w -]+): (?P<message>.*)", re.DOTALL)
# what is down comes back, and a bug may be one of a moment; an input and a gate's answer stay as they are
_FINAL = frozenset({InputError.exit_code, GateRefused.exit_code})
_BY_EXIT_CODE: Mapping[int, type[SecondReadError]] = {
    error.exit_code: error for error in (InputError, DependencyError, GateRefused)
}

log = get_logger(__name__)


@dataclass(frozen=True)
class Failure:
    """Why a step ended.

    Attributes:
        step: which one.
        exit_code: of the error.
        message: one line for a person.
    """

    step: str
    exit_code: int
    message: str

    def error(self, hint: str = "") -> SecondReadError:
        """The error that ended the step, as whoever started the run raises it again.

        Args:
            hint: where to look further.
        """
        kind = _BY_EXIT_CODE.get(self.exit_code, SecondReadError)
        return kind(" ".join(f"{self.step}: {self.message} {hint}".split()))

    def report(self) -> str:
        """One line that `reported` reads again out of whatever others put around it."""
        return f"secondread exit code {self.exit_code} of {self.step}: {self.message}"

    @classmethod
    def reported(cls, text: str) -> Failure | None:
        """The failure that a text reports, such as the message of a pod that ended; None if it reports none."""
        found = _REPORTED.search(text)
        return cls(found["step"], int(found["exit_code"]), found["message"].strip()) if found else None


def write_success(folder: Path, *, step: str, inputs: Mapping[str, Path], facts: Mapping[str, Any]) -> None:
    """Seal an artifact.

    Args:
        folder: the artifact, complete.
        step: that wrote it.
        inputs: artifacts that it was made from, by name.
        facts: what else is worth knowing of it, as JSON.
    """
    document = {
        "step": step,
        "library_version": __version__,
        "inputs": {name: sha256_file(path / SUCCESS_FILE) for name, path in inputs.items()},
        "facts": dict(facts),
        "files": {path.name: sha256_file(path) for path in _files(folder)},
        "folders": {path.name: _size(path) for path in _folders(folder)},
    }
    write_json(folder / SUCCESS_FILE, document)


def verify_success(folder: Path, *, step: str | None) -> dict[str, Any]:
    """Check that an artifact is what its step wrote.

    Files are compared by hash. Folders are compared by the number of files and their bytes: their files are named by
    their own hash, which is checked when they are read.

    Args:
        folder: the artifact.
        step: that must have written it; None where any may have.
    Returns:
        The facts of the success manifest.
    Raises:
        IntegrityError: the step did not finish, another step wrote it, or something is missing or changed.
    """
    if not (folder / SUCCESS_FILE).is_file():
        raise IntegrityError(
            f"{folder} has no {SUCCESS_FILE}: its step did not finish, whatever the runner says. Run it."
        )
    document = read_json(folder / SUCCESS_FILE)
    written_by = document.get("step")
    if step is not None and written_by != step:
        raise IntegrityError(f"{folder} was written by step '{written_by}', not by '{step}'. Name its output.")
    for name, digest in document["files"].items():
        path = folder / name
        if not path.is_file() or sha256_file(path) != digest:
            raise IntegrityError(
                f"{path} is missing or has changed since step '{written_by}' wrote it. Run that step again."
            )
    for name, size in document["folders"].items():
        if not (folder / name).is_dir() or _size(folder / name) != size:
            raise IntegrityError(
                f"{folder / name} is missing files since step '{written_by}' wrote it. Run that step again."
            )
    facts: dict[str, Any] = document["facts"]
    return facts


@contextmanager
def recorded(step: str, output: Path) -> Iterator[None]:
    """Write down beside `output` why a step failed, so that whoever started it can say so.

    A failure that trying again cannot mend (the input, a gate) is repeated at once when the runner tries again in the
    same place. After any other, such as a store that was down, the step does its work again.
    """
    record = output.with_name(output.name + FAILURE_SUFFIX)
    if record.is_file():
        earlier = Failure(**read_json(record))
        if earlier.exit_code in _FINAL:
            _report_to_cluster(earlier)
            raise SystemExit(earlier.exit_code)
        record.unlink()
    try:
        yield
    except Exception as error:
        message = " ".join(str(error).split()) or type(error).__name__
        failure = Failure(step=step, exit_code=exit_code_of(error), message=message)
        output.parent.mkdir(parents=True, exist_ok=True)
        write_json(record, asdict(failure))
        _report_to_cluster(failure)
        if not isinstance(error, SecondReadError):
            raise
        log.error("%s: %s", step, message)
        raise SystemExit(failure.exit_code) from None


def failures(root: Path) -> list[Failure]:
    """Every failure that was written down below a folder, the first one first."""
    records = sorted(root.rglob(f"*{FAILURE_SUFFIX}"), key=lambda path: path.stat().st_mtime_ns)
    return [Failure(**json.loads(path.read_text(encoding="utf-8"))) for path in records]


def _report_to_cluster(failure: Failure) -> None:
    """Tell Kubernetes why this container ends, where there is one."""
    if "KUBERNETES_SERVICE_HOST" not in os.environ:
        return
    with contextlib.suppress(OSError):  # a pod may keep it elsewhere; the log has the same
        TERMINATION_LOG.write_bytes(failure.report().encode()[:_TERMINATION_BYTES])


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and path.name != SUCCESS_FILE)


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())


def _size(folder: Path) -> dict[str, int]:
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return {"files": len(sizes), "bytes": sum(sizes)}
