"""The fingerprint of files: what changes it, what does not, and that no name is too odd for it."""

import os
from pathlib import Path

import numpy as np
import PIL
import pytest

from secondread.data import fingerprint
from secondread.data.fingerprint import fingerprint_files, pixel_packages


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    made = [tmp_path / "a" / "1.png", tmp_path / "a" / "2.png", tmp_path / "b" / "1.png"]
    for number, path in enumerate(made):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes([number]) * 10)
    return made


def test_it_is_a_sha256_that_stays_the_same(tmp_path: Path, files: list[Path]) -> None:
    first = fingerprint_files(tmp_path, files)
    assert fingerprint_files(tmp_path, files) == first
    assert len(bytes.fromhex(first)) == 32


def test_the_order_does_not_matter(tmp_path: Path, files: list[Path]) -> None:
    assert fingerprint_files(tmp_path, reversed(files)) == fingerprint_files(tmp_path, files)


def test_where_the_folder_lies_does_not_matter(tmp_path: Path, files: list[Path]) -> None:
    first = fingerprint_files(tmp_path / "a", files[:2])
    (tmp_path / "a").rename(tmp_path / "moved")
    assert fingerprint_files(tmp_path / "moved", (tmp_path / "moved").iterdir()) == first


def test_a_byte_changes_it(tmp_path: Path, files: list[Path]) -> None:
    first = fingerprint_files(tmp_path, files)
    files[1].write_bytes(b"\x01" * 9 + b"\x02")
    assert fingerprint_files(tmp_path, files) != first


def test_a_name_changes_it(tmp_path: Path, files: list[Path]) -> None:
    first = fingerprint_files(tmp_path, files)
    files[1] = files[1].rename(tmp_path / "a" / "3.png")
    assert fingerprint_files(tmp_path, files) != first


def test_two_files_that_swap_their_content_change_it(tmp_path: Path, files: list[Path]) -> None:
    first = fingerprint_files(tmp_path, files)
    one, two = files[0].read_bytes(), files[1].read_bytes()
    files[0].write_bytes(two)
    files[1].write_bytes(one)
    assert fingerprint_files(tmp_path, files) != first


def test_a_file_more_or_fewer_changes_it(tmp_path: Path, files: list[Path]) -> None:
    found = {fingerprint_files(tmp_path, files[:count]) for count in range(4)}
    assert len(found) == 4


@pytest.mark.parametrize("name", [b"M\xfcller.png", "Müller.png".encode(), b"two\nlines.png", b"\xff"])
def test_a_name_may_be_any_bytes(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(b"x")
    first = fingerprint_files(tmp_path, [path])
    assert fingerprint_files(tmp_path, [path.rename(tmp_path / "other.png")]) != first


def test_a_file_that_cannot_be_read_counts_until_it_can(tmp_path: Path, files: list[Path]) -> None:
    gone = tmp_path / "gone.png"
    unreadable = fingerprint_files(tmp_path, [*files, gone])
    assert unreadable != fingerprint_files(tmp_path, files)
    gone.write_bytes(b"back")
    assert fingerprint_files(tmp_path, [*files, gone]) != unreadable


def test_the_packages_that_decode_are_known_by_their_version(monkeypatch: pytest.MonkeyPatch) -> None:
    packages = pixel_packages()
    assert packages["pillow"] == PIL.__version__
    assert packages["numpy"] == np.__version__
    assert all(packages.values())
    monkeypatch.setattr(fingerprint, "_PIXEL_PACKAGES", ("numpy", "a-package-that-is-not-there"))
    assert pixel_packages() == {"numpy": np.__version__, "a-package-that-is-not-there": ""}
