"""Looking around in the folder of a download: where its layout begins, and which images a folder holds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from secondread.data.sources.names import readable_name
from secondread.errors import InputError

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})

_DEPTH = 3  # folders that an archive wraps around a layout, at most
_TOPS = 500  # folders that are asked; a layout begins near the top, and a tree of patients has thousands
_LOOKED_AT = 2_000  # entries of a folder; one that holds a layout has fewer, one of images may have 100,000


def likely_tops(root: Path) -> list[Path]:
    """The folder and the visible folders in it, nearest first, down to where a layout may begin.

    Raises:
        InputError: a folder cannot be listed.
    """
    found = level = [root]
    for _ in range(_DEPTH):
        level = list(islice((inner for folder in level for inner in subfolders(folder)), _TOPS - len(found)))
        found = found + level
    return found


def subfolders(folder: Path) -> list[Path]:
    """Visible folders in a folder, sorted, no links."""
    try:
        with os.scandir(folder) as entries:
            looked_at = list(islice(entries, _LOOKED_AT))
            names = [e.name for e in looked_at if _visible(e.name) and e.is_dir(follow_symlinks=False)]
    except OSError as error:
        raise _unreadable(folder, error) from error
    return [folder / name for name in sorted(names)]


def pictures(folder: Path) -> Iterator[Path]:
    """Visible JPEG and PNG files directly in a folder, sorted; none where there is no such folder.

    Raises:
        InputError: the folder cannot be listed.
    """
    if not folder.is_dir():
        return
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if _visible(e.name) and not e.is_dir()]
    except OSError as error:
        raise _unreadable(folder, error) from error
    yield from (folder / name for name in sorted(names) if Path(name).suffix.lower() in PICTURE_SUFFIXES)


def _visible(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"


def _unreadable(folder: Path, error: OSError) -> InputError:
    return InputError(f"{readable_name(folder)} cannot be listed ({error.strerror}). Allow it to be read.")
