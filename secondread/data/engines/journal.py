"""What finished batches found, kept beside what they wrote, so that a run that was cut goes on where it was.

A batch is done when its document is there: it is written last, whole or not at all.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence, Sized
from pathlib import Path
from typing import Any, TypeVar

from secondread.atomic import atomic_file, sha256_bytes
from secondread.data.engines.engine import Engine
from secondread.data.fingerprint import code_fingerprint, pixel_packages
from secondread.logging import get_logger
from secondread.progress import track

Batch = TypeVar("Batch", bound=Sized)
Result = TypeVar("Result")
Document = Any  # as JSON

log = get_logger(__name__)


def resume_key(*parts: Any) -> str:
    """A hash, hex, of all that decides what is written: inputs and settings as JSON, this library's code and codecs."""
    return sha256_bytes(json.dumps([*parts, code_fingerprint(), pixel_packages()], sort_keys=True).encode())


class Journal:
    """The documents of a folder's finished batches.

    Args:
        folder: that is written; they lie in its hidden folder `.journal` until `remove`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / ".journal"
        self._folder.mkdir(exist_ok=True)

    def write(self, number: int, document: Document) -> None:
        """Say that a batch is done."""
        with atomic_file(self._path(number)) as aside:
            aside.write_text(json.dumps(document, allow_nan=False), encoding="utf-8")

    def read(self, number: int) -> Document | None:
        """The document of a batch; None where it is not done."""
        try:
            return json.loads(self._path(number).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):  # damaged by a power cut: the batch is done again
            return None

    def remove(self) -> None:
        """Forget everything, before the folder gets its name."""
        shutil.rmtree(self._folder)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06d}.json"


def work_through(
    engine: Engine,
    function: Callable[[Batch], Result],
    batches: Sequence[Batch],
    journal: Journal,
    *,
    finish: Callable[[Batch, Result], Document],
    is_whole: Callable[[Batch, Document], bool],
    description: str,
) -> Iterator[Document]:
    """The documents of all batches, in order; only those that the journal does not have are worked on.

    Args:
        engine: does the work.
        function: gives a batch's result.
        batches: of images.
        journal: of the folder that is written.
        finish: called here with a batch and its result; what it gives back goes into the journal.
        is_whole: whether what a batch of an earlier run wrote is still there.
        description: what is done, such as "reading images".
    """
    done = {}
    for number, batch in enumerate(batches):
        document = journal.read(number)
        if document is not None and is_whole(batch, document):
            done[number] = document
    total = sum(map(len, batches))
    if done:
        images = sum(len(batches[number]) for number in done)
        log.info("going on where a run was cut: %s of %s images are done", f"{images:,}", f"{total:,}")
    results = engine.map(function, [batch for number, batch in enumerate(batches) if number not in done])
    for number, batch in track(enumerate(batches), description, total=total, size=lambda item: len(item[1])):
        if number in done:
            yield done.pop(number)
            continue
        document = finish(batch, next(results))
        journal.write(number, document)
        yield document
