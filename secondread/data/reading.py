"""All images of a source, read and copied: a table of what the source says of each and of what reading it found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from secondread.data.cleaning.picture_checks import PictureChecks
from secondread.data.engines.engine import Engine
from secondread.data.engines.journal import Journal, work_through
from secondread.data.intake import UNREAD, StoredImage, store_images
from secondread.data.patients import PatientHasher
from secondread.data.sources.source import SourceImage, own_patient
from secondread.errors import InputError, TooLargeError

# a second's work: enough that handing it out costs nothing, and little is lost with a worker
BATCH_IMAGES = 256
_FACTS = (
    *("name", "label", "modality", "source", "site", "license", "sex", "age", "view"),
    *("acquired_at", "original_split"),
)
_FOUND = tuple(field.name for field in fields(StoredImage))


class OutgoingIds:
    """Ids of patients and studies as they may leave the source: as they are where published, else as keyed hashes.

    Args:
        public: all ids of the source are published.
        key_file: of the secret; made when the first id is to be hashed.
    """

    def __init__(self, *, public: bool, key_file: Path | None) -> None:
        self._public = public
        self._key_file = key_file
        self._hasher: PatientHasher | None = None

    def of(self, image: SourceImage, found: StoredImage) -> tuple[str, str, str]:
        """Patient, study, and the fingerprint of the key that hashed them; empty where there was nothing to hash."""
        # a DICOM file's header tells what its source does not know
        patient = image.patient_id or own_patient(image.patients, found.patient_id)
        ids = (patient, image.study_id or found.study_id)
        if self._public or image.public_ids or not any(ids):
            return (*ids, "")
        hasher = self._made()
        return hasher.hash(ids[0]), hasher.hash(ids[1]), hasher.fingerprint

    def key(self) -> str:
        """Fingerprint of the key.

        Raises:
            InputError: no key file is named, or it cannot be used.
        """
        return self._made().fingerprint

    def _made(self) -> PatientHasher:
        if self._key_file is None:
            raise InputError("this source has patient ids, which leave it only hashed. Name a patient key file.")
        self._hasher = self._hasher or PatientHasher.from_file(self._key_file)
        return self._hasher


def read_images(
    images: Sequence[SourceImage],
    folder: Path,
    checks: PictureChecks,
    *,
    ids: OutgoingIds,
    engine: Engine,
    hide_names: bool,
) -> pd.DataFrame:
    """Read, check and copy every image, in batches. What a cut run has done already is not done again.

    Args:
        images: of a source.
        folder: gets the copies, and the journal of finished batches, in which no file name and no bare id stands. It
            stays: whoever writes what else belongs to the folder removes it in the end.
        checks: what each picture must have.
        ids: how ids leave the source.
        engine: does the work.
        hide_names: no error names a file.
    Returns:
        One row an image, in order: the fields of `SourceImage` and `StoredImage`, ids as they may leave, and `key`,
        the fingerprint of the key that hashed them.
    """
    journal = Journal(folder)
    batches = [images[start : start + BATCH_IMAGES] for start in range(0, len(images), BATCH_IMAGES)]
    columns: dict[str, list[Any]] = {name: [] for name in (*_FOUND, "key")}
    documents = work_through(
        engine,
        partial(store_images, folder=folder.resolve(), checks=checks, hide_names=hide_names),
        batches,
        journal,
        finish=partial(_document, ids=ids),
        is_whole=partial(_is_whole, folder=folder, ids=ids),
        description="reading images",
    )
    for document in documents:
        for name, values in columns.items():
            values += document[name]
    facts = {name: [getattr(image, name) for image in images] for name in _FACTS}
    return pd.DataFrame(facts | columns)


def _document(batch: Sequence[SourceImage], found: list[StoredImage], *, ids: OutgoingIds) -> dict[str, list[Any]]:
    """What the journal keeps of a batch, by column."""
    for image, item in zip(batch, found, strict=True):
        if item.reason.startswith(UNREAD):
            _check_unread(image)
    columns = {name: [getattr(item, name) for item in found] for name in _FOUND}
    outgoing = [ids.of(image, item) for image, item in zip(batch, found, strict=True)]
    return columns | {
        name: [values[position] for values in outgoing]
        for position, name in enumerate(("patient_id", "study_id", "key"))
    }


def _check_unread(image: SourceImage) -> None:
    """Refuse to leave out an image because of who was to read it.

    Raises:
        InputError: it can be read here.
    """
    try:
        image.read()
    except (OSError, TooLargeError):
        return
    raise InputError(
        "an image could not be read where the work was done, but can be read here. Where several machines do the work, "
        "each needs the source under the same path; else look after its disk."
    )


def _is_whole(batch: Sequence[SourceImage], document: dict[str, list[Any]], *, folder: Path, ids: OutgoingIds) -> bool:
    """Whether a batch of an earlier run can be used: its copies are there, its ids hashed with the same key."""
    if set(document) != {*_FOUND, "key"} or len(document["key"]) != len(batch):
        return False
    if any(document["key"]) and {*document["key"]} - {"", ids.key()}:
        return False
    try:
        return all(
            not path or (folder / path).stat().st_size == size
            for path, size in zip(document["path"], document["stored_bytes"], strict=True)
        )
    except FileNotFoundError:
        return False
