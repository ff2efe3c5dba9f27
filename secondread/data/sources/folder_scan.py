"""What lies in a folder of class folders: the images of each class, and what is left out, so that it can be said."""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from secondread.data.pixels.dicom_file import HEAD_BYTES, looks_like_dicom
from secondread.data.sources.names import readable_name
from secondread.errors import InputError

_DICOM_SUFFIXES = frozenset({".dcm", ".dicom"})
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"}) | _DICOM_SUFFIXES

# What is left out -> what to do about it.
_LOOSE = "image(s) outside any class folder"
_LINKED = "link(s) to folders, which are not followed here"
_BROKEN = "link(s) or special file(s) with no file behind them"
_OTHER = "file(s) that are no JPEG, PNG or DICOM"
_EMPTY = "class folder(s) without an image"
_ADVICE = {
    _LOOSE: "Move each into the folder of its class",
    _LINKED: "Put the folders themselves there",
    _BROKEN: "Put the files themselves there",
    _OTHER: "Convert those that are images, and name an archive or .npz itself",
    _EMPTY: "Fill or remove them",
}


@dataclass(frozen=True)
class FolderScan:
    """What was found.

    Attributes:
        classes: image files, sorted, by the name of their class; no class is empty.
        left_out: one sentence for each kind of thing that is not read: how many, an example, what to do.
    """

    classes: Mapping[str, list[Path]]
    left_out: tuple[str, ...]


def scan_folder(root: Path) -> FolderScan:
    """Sort the content of a folder of class folders.

    Whatever has a part below `root` that starts with a dot is passed over: thumbnails, version control, leftovers of
    file managers. A file without suffix, or with a number for one as in DICOM's unique identifiers, is an image where
    it has DICOM's mark, since the export of a picture archive gives names such as `IM0001`.

    Args:
        root: the folder. A class folder may be a link; a folder below one may not, since it could lead in a circle.
    Raises:
        InputError: the folder or one below it cannot be listed.
    """
    classes: dict[str, list[Path]] = defaultdict(list)
    left_out: dict[str, list[Path]] = {kind: [] for kind in _ADVICE}
    folders, files = _listed(root)
    for path in files:
        kind = _kind(path)
        left_out[kind or _LOOSE].append(path)
    for folder in folders:
        images = classes[readable_name(folder.name)]
        for path in _below(folder, _refuse):
            kind = _kind(path)
            (left_out[kind] if kind else images).append(path)
        if not images:
            left_out[_EMPTY].append(folder)
    return FolderScan(
        classes={name: sorted(files) for name, files in sorted(classes.items()) if files},
        left_out=tuple(_sentence(kind, paths, root) for kind, paths in left_out.items() if paths),
    )


def scan_images(root: Path, shown: str) -> tuple[list[Path], tuple[str, ...]]:
    """Find every image below a folder, whatever the folders in it are called; passed over is what `scan_folder` does.

    What its name makes an image, or a candidate for one, is taken for one also where it cannot be read, such as a link
    that leads nowhere: whoever reads it says so.

    Args:
        root: the folder.
        shown: what it is called.
    Returns:
        The images, sorted; a sentence for each other kind of thing: how many, what to do, and the name of none.
    Raises:
        InputError: the folder or one below it cannot be listed.
    """

    def refuse(error: OSError) -> None:
        raise InputError(f"{shown} cannot be listed ({error.strerror}). Allow it to be read.") from error

    by_kind: dict[str, list[Path]] = defaultdict(list)
    for path in _below(root, refuse):
        by_kind[_kind(path, unread=True)].append(path)
    images = sorted(by_kind.pop("", []))
    return images, tuple(f"left out {len(paths)} {kind}. {_ADVICE[kind]}." for kind, paths in by_kind.items())


def _listed(root: Path) -> tuple[list[Path], list[Path]]:
    """Visible folders and other entries directly in the root."""
    try:
        entries = sorted(path for path in root.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise _unreadable(error) from error
    folders = [path for path in entries if stat.S_ISDIR(_mode(path))]
    return folders, [path for path in entries if not stat.S_ISDIR(_mode(path))]


def _below(folder: Path, refuse: Callable[[OSError], None]) -> Iterator[Path]:
    """Every visible file, and every link to a folder, at any depth."""
    for top, folders, files in os.walk(folder, onerror=refuse):
        here = Path(top)
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (here / name for name in folders if (here / name).is_symlink())
        yield from (here / name for name in files if not name.startswith("."))


def is_dicom(path: Path, *, unread: bool = False) -> bool:
    """Whether a file is DICOM by its name; by its mark, where the name has no suffix or a number for one.

    Args:
        path: of the file.
        unread: the answer where the mark cannot be read.
    """
    suffix = path.suffix.lower()
    return suffix in _DICOM_SUFFIXES or ((not suffix or suffix[1:].isdigit()) and _has_dicom_mark(path, unread))


def _kind(path: Path, *, unread: bool = False) -> str:
    """Why an entry is no image to read; empty for one that is, and with `unread` for one that may be."""
    mode = _mode(path)
    if stat.S_ISDIR(mode):
        return _LINKED
    if not stat.S_ISREG(mode) and (mode or not unread):
        return _BROKEN
    return "" if path.suffix.lower() in IMAGE_SUFFIXES or is_dicom(path, unread=unread) else _OTHER


def _mode(path: Path) -> int:
    """Type and permissions of what a path leads to; 0 where it leads nowhere."""
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def _has_dicom_mark(path: Path, unread: bool) -> bool:
    try:
        with path.open("rb") as file:
            return looks_like_dicom(file.read(HEAD_BYTES))
    except OSError:
        return unread


def _sentence(kind: str, paths: list[Path], root: Path) -> str:
    example = readable_name(min(paths).relative_to(root))
    return f"left out {len(paths)} {kind}, such as '{example}'. {_ADVICE[kind]}."


def _refuse(error: OSError) -> None:
    raise _unreadable(error) from error


def _unreadable(error: OSError) -> InputError:
    where = readable_name(os.fsdecode(error.filename or "the folder"))
    return InputError(
        f"{where} cannot be listed ({error.strerror}). Allow it to be read, or take it out of the source."
    )
