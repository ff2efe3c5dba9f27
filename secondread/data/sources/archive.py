"""A .zip or .tar archive as a folder: extracted once, below a cache, and trusted in nothing.

The cache is `<cache>/<sha256 of the archive>/`, so that the same bytes are extracted once whatever they are called.
"""

from __future__ import annotations

import stat
import tarfile
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO

from secondread.atomic import atomic_folder, read_json, sha256_file, write_json
from secondread.data.sources.names import readable_name
from secondread.errors import InputError, TooLargeError
from secondread.logging import get_logger

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
MARKER = ".archive.json"  # a name that sources pass over
_IGNORED = frozenset({"__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini"})  # leftovers of file managers
_CHUNK = 1 << 20
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, LZMAError, EOFError, NotImplementedError, RuntimeError)

log = get_logger(__name__)


@dataclass(frozen=True)
class ArchiveLimits:
    """Bounds on what an archive may become."""

    max_members: int = 1_000_000  # NIH ChestX-ray14, the largest set known here, has 112,120
    max_member_bytes: int = 1 << 30  # the largest image file that is read is smaller by far
    max_total_bytes: int = 200 << 30  # NIH ChestX-ray14 is 45 GB
    max_ratio: float = 200.0  # all extracted bytes to the archive's; images are compressed already, bombs reach 1,000
    ratio_from_bytes: int = 64 << 20  # below this total the ratio is not asked: a few blank pictures do no harm


DEFAULT_LIMITS = ArchiveLimits()


@dataclass(frozen=True)
class _Member:
    """One file of an archive, not extracted yet."""

    name: str
    size: int  # as the archive says, which need not be so
    open: IO[bytes]


def is_archive(path: Path) -> bool:
    """Whether the name says that this is an archive which is read."""
    return path.name.lower().endswith(ARCHIVE_SUFFIXES)


def extracted(archive: Path, cache: Path, *, limits: ArchiveLimits = DEFAULT_LIMITS) -> Path:
    """The folder with an archive's content; extracted if it is not there yet, whole or not at all.

    Args:
        archive: .zip, or .tar as it is or compressed by gzip, bzip2 or xz.
        cache: folder for `<sha256>/`.
        limits: bounds on members, bytes and compression.
    Returns:
        The folder `<sha256>/`.
    Raises:
        InputError: no archive, damaged, encrypted, or with a member that is a link, a device, or leads out.
        TooLargeError: it exceeds a limit.
    """
    folder = cache / sha256_file(archive)
    if not (folder / MARKER).is_file():
        log.info("extracting %s", archive)
        with atomic_folder(folder, marker=MARKER) as aside:
            count, total = _extract(archive, aside, limits)
            write_json(aside / MARKER, {"archive": archive.name, "members": count, "bytes": total})
    read_json(folder / MARKER)
    return folder


def _extract(archive: Path, target: Path, limits: ArchiveLimits) -> tuple[int, int]:
    """Count of files and their bytes."""
    budget = limits.max_total_bytes
    ratio_bytes = int(max(limits.ratio_from_bytes, limits.max_ratio * archive.stat().st_size))
    count = total = 0
    with _damage_told(archive), closing(_members(archive)) as members:
        for member in members:
            count += 1
            if count > limits.max_members:
                raise TooLargeError(f"{archive} has more than {limits.max_members} members. Split it.")
            path = _inside(archive, target, member.name)
            if path is None:
                continue
            allowed = min(limits.max_member_bytes, budget - total, ratio_bytes - total)
            total += _copy(member, path, allowed, archive)
    return count, total


def _copy(member: _Member, path: Path, allowed: int, archive: Path) -> int:
    """Write one member, counting what comes and not what was announced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with path.open("xb") as file:
        while chunk := member.open.read(_CHUNK):
            written += len(chunk)
            if written > allowed:
                raise TooLargeError(
                    f"{archive}: '{readable_name(member.name)}' makes it larger than is extracted, by the limit on one "
                    "member, on all, or on compression (a bomb?). Extract it yourself if you trust it."
                )
            file.write(chunk)
    return written


def _inside(archive: Path, target: Path, name: str) -> Path | None:
    """Where a member goes; None for leftovers of file managers."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or name.startswith(("/", "\\")) or ".." in parts or "\0" in name:
        raise InputError(f"{archive}: member '{readable_name(name)}' leads out of the archive. Do not trust it.")
    if any(part in _IGNORED or part.startswith("._") for part in parts):
        return None
    return target.joinpath(*parts)


def _members(archive: Path) -> Generator[_Member, None, None]:
    if zipfile.is_zipfile(archive):
        return _zip_members(archive)
    if tarfile.is_tarfile(archive):
        return _tar_members(archive)
    raise InputError(f"{archive} is neither a zip nor a tar archive that can be read. Download it again.")


def _zip_members(archive: Path) -> Generator[_Member, None, None]:
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            if info.is_dir():
                continue
            kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where the archive was made without Unix modes
            if kind and kind != stat.S_IFREG:
                raise _not_a_file(archive, info.filename)
            if info.flag_bits & 1:
                raise InputError(f"{archive} is encrypted ('{readable_name(info.filename)}'). Extract it yourself.")
            with file.open(info) as content:
                yield _Member(info.filename, info.file_size, content)


def _tar_members(archive: Path) -> Generator[_Member, None, None]:
    with tarfile.open(archive) as file:
        for info in file:
            if info.isdir():
                continue
            if not info.isreg() or info.issparse():
                raise _not_a_file(archive, info.name)
            content = file.extractfile(info)
            if content is None:
                raise _not_a_file(archive, info.name)
            with content:
                yield _Member(info.name, info.size, content)


def _not_a_file(archive: Path, name: str) -> InputError:
    return InputError(
        f"{archive}: member '{readable_name(name)}' is a link, a device or a sparse file, which are not extracted. "
        "Pack plain files."
    )


@contextmanager
def _damage_told(archive: Path) -> Iterator[None]:
    """Turn what the two modules raise into one line."""
    try:
        yield
    except _DAMAGE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{archive} is damaged ({reason}). Download it again.") from error
    except FileExistsError as error:
        name = readable_name(Path(str(error.filename)).name)
        raise InputError(f"{archive} has '{name}' twice. Pack it again.") from error
    except OSError as error:  # gzip's own error for bad data is an OSError without a number
        reason = error.strerror or " ".join(str(error).split())
        raise InputError(f"{archive} cannot be extracted ({reason}). Free space, or download it again.") from error


def unwrapped(folder: Path) -> Path:
    """The folder that is packed alone in an archive and holds folders or a list of images; else the folder itself."""
    while True:
        entries = [path for path in folder.iterdir() if not path.name.startswith(".")]
        if len(entries) != 1 or not entries[0].is_dir():
            return folder
        inner = entries[0]
        if not any(path.is_dir() or path.suffix.lower() == ".csv" for path in inner.iterdir()):
            return folder
        folder = inner
