"""Readings of many images where others find them: in a folder or a store, whole or not at all.

    <root>/<SHA-256 of the table>/readings.parquet     see `secondread.serving.batch.table`
    <root>/<SHA-256 of the table>/readings.html        what they come to
    <root>/<SHA-256 of the table>/_COMPLETE.json       stored last: sizes, SHA-256, and whose readings they are

What is there already is not sent again, so delivering twice costs a few questions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondread.atomic import sha256_bytes, sha256_file
from secondread.data.store.store import Store, Stored

TABLE_FILE = "readings.parquet"
PAGE_FILE = "readings.html"
COMPLETE = "_COMPLETE.json"  # as of a dataset version


@dataclass(frozen=True)
class DeliveredReadings:
    """What delivering did.

    Attributes:
        uri: of the table.
        sent: objects that were sent now.
        there: objects that were there already.
        size: bytes of all.
    """

    uri: str
    sent: int
    there: int
    size: int


def deliver_readings(folder: Path, store: Store, about: Mapping[str, Any]) -> DeliveredReadings:
    """Store a table and its page.

    Args:
        folder: that holds both.
        store: at the root of all readings.
        about: whose readings they are, as JSON, for whoever finds them.
    Raises:
        InputError, DependencyError: as the store says.
    """
    name = sha256_file(folder / TABLE_FILE)
    objects = {file: (folder / file).read_bytes() for file in (TABLE_FILE, PAGE_FILE)}
    files = {file: {"size": len(data), "sha256": sha256_bytes(data)} for file, data in objects.items()}
    objects[COMPLETE] = json.dumps({**about, "files": files}, indent=2, allow_nan=False).encode()
    sent = sum(_send(f"{name}/{file}", data, store) for file, data in objects.items())
    size = sum(map(len, objects.values()))
    return DeliveredReadings(f"{store.uri}/{name}/{TABLE_FILE}", sent, len(objects) - sent, size)


def _send(key: str, data: bytes, store: Store) -> bool:
    """Send an object, unless it is there; whether it was sent."""
    sha256 = sha256_bytes(data)
    if store.stat(key) == Stored(len(data), sha256):
        return False
    store.write(key, data, sha256=sha256)
    return True
