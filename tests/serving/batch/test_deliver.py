"""Readings in a store are whole or not there: what says that they are comes last."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from secondread.atomic import sha256_file
from secondread.data.store.local import LocalStore
from secondread.errors import DependencyError
from secondread.serving.batch.deliver import COMPLETE, deliver_readings


class CutStore(LocalStore):
    """A store that goes away before its n-th write."""

    def __init__(self, root: Path, writes: int) -> None:
        super().__init__(root)
        self.left = writes

    def write(self, key: str, data: bytes, *, sha256: str) -> None:
        if not self.left:
            raise DependencyError("the store does not answer.")
        self.left -= 1
        super().write(key, data, sha256=sha256)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "readings.parquet").write_bytes(b"a table")
    (tmp_path / "made" / "readings.html").write_text("a page")
    return tmp_path / "made"


@pytest.mark.parametrize("writes", range(3))
def test_readings_that_were_cut_on_the_way_are_not_said_to_be_whole(folder: Path, tmp_path: Path, writes: int) -> None:
    with pytest.raises(DependencyError):
        deliver_readings(folder, CutStore(tmp_path / "store", writes), {})
    place = tmp_path / "store" / sha256_file(folder / "readings.parquet")
    assert not (place / COMPLETE).exists()
    done = deliver_readings(folder, LocalStore(tmp_path / "store"), {"images": 3})
    assert (done.sent, done.there, done.uri) == (3 - writes, writes, str(place / "readings.parquet"))
    document = json.loads((place / COMPLETE).read_text())
    assert document["images"] == 3
    assert document["files"]["readings.parquet"] == {"size": 7, "sha256": place.name}


def test_readings_that_are_there_are_not_sent_again(folder: Path, tmp_path: Path) -> None:
    first = deliver_readings(folder, LocalStore(tmp_path / "store"), {})
    again = deliver_readings(folder, CutStore(tmp_path / "store", 0), {})
    assert (again.sent, again.there, again.uri, again.size) == (0, 3, first.uri, first.size)
