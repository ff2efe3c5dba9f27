"""Images without labels, wherever they lie.

    films/                        every image below a folder, whatever the folders in it are called
    list.csv                      those that its column `path` names, beside it or by their whole path
    s3://bucket/films             every image below a prefix of a store, S3 or Swift
    s3://bucket/films/list.csv    those that it names, beside it in the store
    archive.zip, phantom://demo   the images of any source of labelled ones: `secondread.data.sources.open`

In a folder, what starts with a dot is passed over. Links to folders are not followed; how many there are is said, as of
files that are no image.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from secondread.atomic import sha256_bytes, sha256_file
from secondread.config.environment import Environment
from secondread.data.fingerprint import fingerprint_files
from secondread.data.pixels.decode import DEFAULT_LIMITS, read_bounded
from secondread.data.sources.folder_scan import IMAGE_SUFFIXES, scan_images
from secondread.data.sources.names import readable_name
from secondread.data.sources.open import identify, open_source
from secondread.data.sources.remote import Remote, look_up
from secondread.data.sources.source import SourceImage
from secondread.data.store.mirror import list_objects
from secondread.data.store.open import is_stored, open_object_store
from secondread.errors import InputError
from secondread.logging import get_logger

_CSV = ".csv"
_COLUMN = "path"

log = get_logger(__name__)


@dataclass(frozen=True)
class UnlabelledImages:
    """The images of a place.

    Attributes:
        images: in a stable order, their bytes not read yet.
        state: JSON that is another when an image is likely to be: the place, and of files size and time; none is read.
        held: keeps what was fetched as it is.
    """

    images: list[SourceImage]
    state: Any
    held: object = None


def open_images(place: str) -> UnlabelledImages:
    """Open the images of a place. What lies in a store is fetched.

    Args:
        place: as this module's docstring says.
    Raises:
        InputError: there is no image, or a list that cannot be read.
        DependencyError: the store that they lie in does not answer.
    """
    remote = _remote(place)
    if remote:
        path, held = remote.fetched(Environment.read().home)
        files, left_out = _files(path, shown=remote.uri, inside=True)
        return UnlabelledImages(_images(files, left_out, remote.uri), [remote.uri, remote.fingerprint], held)
    path_here = _path(place)
    if path_here is None:
        source = open_source(place)
        return UnlabelledImages(list(source.images()), [source.uri, source.fingerprint()], source)
    files, left_out = _files(path_here, shown=place)
    state = [str(path_here.resolve()), *([name, *_stat(file)] for name, file in files.items())]
    return UnlabelledImages(_images(files, left_out, place), state)


def identify_images(place: str) -> tuple[str, str]:
    """URI and fingerprint, hex, of what `open_images` gives: another URI or image has another.

    What lies in a store is only listed; files of this machine are read.

    Raises:
        InputError, DependencyError: as `open_images` does.
    """
    remote = _remote(place)
    if remote:
        return remote.uri, remote.fingerprint
    path = _path(place)
    if path is None:
        return identify(place)
    uri = str(path.resolve())
    if readable_name(uri) != uri:
        raise InputError(f"'{readable_name(uri)}' is a name that is no line of UTF-8. Rename it.")
    files, _ = _files(path, shown=place)
    hashed = fingerprint_files(Path("/"), (file.absolute() for file in files.values()))
    return uri, sha256_bytes(f"{sha256_file(path) if path.is_file() else ''} {hashed}".encode())


def _remote(place: str) -> Remote | None:
    """What is in a store as it is: a prefix, or a list and what it names; None of anything else."""
    if not is_stored(place):
        return None
    environment = Environment.read()
    if not place.lower().endswith(_CSV):
        found = look_up(place, environment)
        return None if found.file else found
    base, _, file = place.rpartition("/")
    store = open_object_store(base, environment)
    text = store.read(file)
    if text is None:
        raise InputError(f"{place} does not exist. Correct the URI.")
    wanted = {file, *_listed(text, place)}
    return Remote(place, base, file, store, [item for item in list_objects(store) if item.key in wanted])


def _path(place: str) -> Path | None:
    """The folder or list that a place is on this machine; None of anything else."""
    try:
        path = Path(place.removeprefix("file://")).expanduser()
        return path if path.is_dir() or (path.is_file() and path.suffix.lower() == _CSV) else None
    except (OSError, RuntimeError):  # too long a name, no such user: whoever opens sources says so
        return None


def _files(path: Path, *, shown: str, inside: bool = False) -> tuple[dict[str, Path], tuple[str, ...]]:
    """The files of a folder or list, by the name of the image, and sentences of what is left out.

    Args:
        path: of the folder or list.
        shown: what it is called.
        inside: the list may name only what lies beside it.
    """
    if path.is_dir():
        images, left_out = scan_images(path, shown)
        return {readable_name(file.relative_to(path)): file for file in images}, left_out
    files = {name: path.parent / name for name in _listed(path.read_bytes(), shown)}
    if inside and not all(file.resolve().is_relative_to(path.parent.resolve()) for file in files.values()):
        raise InputError(f"{shown} names files that do not lie beside it. Name them relative to it.")
    return files, ()


def _listed(data: bytes, shown: str) -> list[str]:
    """The names in a list."""
    try:
        rows = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""))
        if _COLUMN not in (rows.fieldnames or ()):
            raise InputError(f"{shown} has no column '{_COLUMN}': name an image a row, relative to the file.")
        names = []
        for row in rows:
            if not row[_COLUMN] or "\0" in row[_COLUMN]:
                raise InputError(f"{shown}, line {rows.line_num}: the column '{_COLUMN}' names no file. Fill it.")
            names.append(row[_COLUMN])
    except (UnicodeDecodeError, csv.Error) as error:
        reason = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else f"is no CSV ({error})"
        raise InputError(f"{shown} {reason}. Save it as CSV in UTF-8.") from error
    return names


def _images(files: Mapping[str, Path], left_out: Sequence[str], shown: str) -> list[SourceImage]:
    if not files:
        raise InputError(
            f"{shown} holds no image: files are looked at that end in {', '.join(sorted(IMAGE_SUFFIXES))}, or are "
            f"DICOM without an ending.{''.join(f' It {sentence}' for sentence in left_out)}"
        )
    for sentence in left_out:
        log.warning("%s: %s", shown, sentence)
    read = {name: partial(read_bounded, file.absolute(), DEFAULT_LIMITS) for name, file in files.items()}
    return [SourceImage(name=name, label="", read=each) for name, each in read.items()]


def _stat(file: Path) -> tuple[int, ...]:
    try:
        about = file.stat()
    except OSError:  # it is told as an image that cannot be read
        return ()
    return about.st_size, about.st_mtime_ns
