"""Whether what is to be published under a name is what was published under it.

A version's name is made of pixels, labels, groups and splits. Ages, patients and whatever else its manifest says may be
others under the same name, such as after a correction, or where another key hashed the patients. A published version
does not change, so these cannot take its place; and who publishes must not believe that they did.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from secondread.data.manifest import COLUMNS, MANIFEST_FILE, read_manifest
from secondread.data.store.contents import Contents, parts_of, read_file
from secondread.data.store.store import Store
from secondread.data.versions.dataset import DATASET_FILE, DatasetVersion
from secondread.errors import InputError, IntegrityError
from secondread.logging import get_logger

_FREE = ("path",)  # names a copy that is not in a version

log = get_logger(__name__)


def check_same(version: DatasetVersion, published: Contents, store: Store) -> None:
    """Refuse a version whose manifest says other things than that of the published version of its name.

    Where the versions came from may differ: the published one keeps its word, and the log says so.

    Raises:
        InputError: the manifests differ.
        IntegrityError, DependencyError: as reading from the store does.
    """
    if not holds(version.root, published, MANIFEST_FILE):
        theirs = _manifest(published, store)
        if len(theirs) != len(version.manifest):
            raise IntegrityError(
                f"{store.uri}/{published.content_hash} holds another version. Remove that folder and publish again."
            )
        changed = dict(_changed(version.manifest, theirs))
        if changed:
            told = ", ".join(f"{name} of {count} image(s)" for name, count in changed.items())
            raise InputError(
                f"{store.uri}/{published.content_hash} has the same pixels, labels and splits, but other metadata "
                f"({told}), and a published version does not change. Publish this one to another root; or, where "
                "nobody uses the other yet, remove its folder from the store and publish again."
            )
    if not holds(version.root, published, DATASET_FILE):
        before = json.loads(read_file(store, published, DATASET_FILE))
        now = json.loads((version.root / DATASET_FILE).read_bytes())
        others = sorted(name for name in now.keys() | before.keys() if now.get(name) != before.get(name))
        log.info("version %s stays as it was published, with another %s", version.name, ", ".join(others))


def holds(folder: Path, published: Contents, name: str) -> bool:
    """Whether a folder has a file exactly as it was published."""
    file = folder / name
    return file.is_file() and parts_of({name: file}) == tuple(part for part in published.parts if part.file == name)


def _manifest(published: Contents, store: Store) -> pd.DataFrame:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, MANIFEST_FILE)
        path.write_bytes(read_file(store, published, MANIFEST_FILE))
        return read_manifest(path)


def _changed(ours: pd.DataFrame, theirs: pd.DataFrame) -> Iterator[tuple[str, int]]:
    """Columns whose values differ, and of how many images; an image may be in a version twice."""
    for name in COLUMNS:
        if name not in _FREE:
            one, other = (_by_image(frame, name) for frame in (ours, theirs))
            count = int(((one != other) & ~(one.isna() & other.isna())).sum())
            if count:
                yield name, count


def _by_image(rows: pd.DataFrame, name: str) -> pd.Series[Any]:
    """A column's values, in an order that both versions have."""
    return rows.sort_values(list(dict.fromkeys(["image_id", name])))[name].reset_index(drop=True)
