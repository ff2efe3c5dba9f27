"""Files and folders that are either whole or absent: written aside, then renamed."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import hashlib
import json
import os
import shutil
import socket
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from secondread.errors import DependencyError, InputError, IntegrityError, SecondReadError
from secondread.logging import get_logger

_CHUNK_BYTES = 1 << 20
_ASIDE = ".partial"
_LOCK = ".lock"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FAILS = frozenset({errno.EIO, errno.ESTALE, errno.ETIMEDOUT})  # what a disk or a network volume does at times
_KEY_DIGITS = 16  # hex digits of a key in a name

log = get_logger(__name__)


@contextlib.contextmanager
def atomic_file(path: Path | str) -> Iterator[Path]:
    """Give a path to write to; it takes the name `path` only when the block ends without an error.

    Raises:
        InputError: the folder cannot be written.
    """
    path = Path(path)
    aside = _aside(path, Path.touch)
    try:
        yield aside
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path | str, *, marker: str, inputs: Iterable[Path] = ()) -> Iterator[Path]:
    """Give an empty folder to fill; it takes the place of `path` only when the block ends without an error.

    What stands at `path` is replaced only if it was written the same way. That is asked before the block is entered,
    so that minutes of work are not lost to a folder that cannot be written.

    Args:
        path: the folder to write.
        marker: a file, relative to the folder, that every folder of this kind holds.
        inputs: what the block reads; it must not lie in what would be replaced.
    Raises:
        InputError: `path` is a file, a link or a folder of something else, holds an input, or cannot be written.
    """
    path = Path(path)
    _check_replaceable(path, marker, inputs)
    aside = _aside(path, Path.mkdir)
    try:
        yield aside
        _put_in_place(aside, path, marker)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextlib.contextmanager
def resumable_folder(
    path: Path | str,
    *,
    marker: str,
    key: str,
    inputs: Iterable[Path] = (),
    forget: Callable[[Path], None] | None = None,
    kept_after: tuple[type[InputError], ...] = (),
) -> Iterator[Path]:
    """Like `atomic_folder`, but what a run that was cut left is given to the next run with the same key, to go on with.

    It stays when the process is killed, when it is interrupted, and after an error that trying again may mend. After an
    `InputError`, which the same run would meet again, nothing of this run stays; but what an earlier one did is not
    lost for a mistake in how it was called again. What runs with other keys left is removed.

    Args:
        path: the folder to write.
        marker: a file, relative to the folder, that every folder of this kind holds.
        key: hex; a hash of everything that decides what is written.
        inputs: what the block reads; it must not lie in what would be replaced.
        forget: is given what a run with another key left before that is removed.
        kept_after: errors that are no wrong input here, but a fault that somebody mends: what is done stays.
    Raises:
        InputError: as for `atomic_folder`.
        DependencyError: another process is writing it.
    """
    path = Path(path)
    _check_replaceable(path, marker, inputs)
    prefix = f".{path.name}.resume-"
    aside = path.with_name(f"{prefix}{key[:_KEY_DIGITS]}{_ASIDE}")
    with _locked(aside.with_suffix(_LOCK), path):
        for left in path.parent.glob(f"{glob.escape(prefix)}*{_ASIDE}"):
            if left != aside:
                _remove_unlocked(left, forget)
        continued = _holds_files(aside)
        try:
            aside.mkdir(exist_ok=True)
            yield aside
            _put_in_place(aside, path, marker)
        except BaseException as error:
            settled = isinstance(error, InputError) and not isinstance(error, kept_after)
            if _holds_files(aside) and (continued or not settled):
                log.warning(
                    "%s is not finished. What is done stays in %s: the same run goes on from there.", path, aside
                )
            else:
                shutil.rmtree(aside, ignore_errors=True)
            if isinstance(error, OSError) and error.errno in _FULL:
                raise cannot_write(path, error) from error
            raise


@contextlib.contextmanager
def own_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder that only this process's user can enter, removed in the end.

    What a killed process of this machine left for the same path is removed before.

    Args:
        path: that the folder lies beside, hidden.
    Raises:
        InputError: the folder that the path lies in cannot be written.
    """
    aside = _aside(path, lambda folder: folder.mkdir(mode=0o700))
    try:
        yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextlib.contextmanager
def one_at_a_time(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Let nobody else into such a block for the same path, on this machine or another that locks its files.

    Args:
        path: that the lock lies beside.
        wait: until who is in it has left it.
    Raises:
        InputError: the folder that the path lies in cannot be written.
        DependencyError: somebody is in it, and is not waited for.
    """
    with _locked(path.with_name(f".{path.name}{_LOCK}"), path, wait=wait):
        yield


@contextlib.contextmanager
def room_in(folder: Path) -> Iterator[None]:
    """Say of a full disk which folder lies on it.

    Args:
        folder: that the block writes to.
    Raises:
        DependencyError: no room is left.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise cannot_write(folder, error) from error
        raise


def cannot_write(path: Path, error: OSError) -> SecondReadError:
    """What to say of a file or folder that cannot be written: whether somebody mends it, or the path is a wrong one."""
    if error.errno in _FULL:
        return DependencyError(
            f"no room is left for {path}. Free space and start the run again: it goes on from there."
        )
    if error.errno in _FAILS:
        return DependencyError(
            f"cannot write {path}: {error.strerror}. Look after the disk or volume, and start again."
        )
    return InputError(f"cannot write {path}: {error.strerror}. Choose a folder that you may write to, or free space.")


def _holds_files(folder: Path) -> bool:
    return any(path.is_file() for path in folder.rglob("*"))


def _put_in_place(aside: Path, path: Path, marker: str) -> None:
    if not (aside / marker).exists():
        raise AssertionError(f"a folder was written without its {marker}")
    if path.exists():
        old = _aside(path, Path.mkdir)  # a folder may be renamed to an empty one
        os.replace(path, old)
        os.replace(aside, path)
        shutil.rmtree(old)
    else:
        os.replace(aside, path)


@contextlib.contextmanager
def _locked(lock: Path, path: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a lock file, which is removed in the end; the kernel lets go of it when the process is killed."""
    handle = _lock(lock, path, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(handle)


def _lock(lock: Path, path: Path, kind: int) -> int:
    while True:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise cannot_write(path, error) from error
        try:
            fcntl.flock(handle, kind)
            if os.fstat(handle).st_ino == lock.stat().st_ino:
                return handle
        except BlockingIOError:
            os.close(handle)
            raise DependencyError(
                f"another run is writing {path}. Wait until it has ended, or choose another folder."
            ) from None
        except FileNotFoundError:
            pass  # who held it has just ended and removed it: the lock is on nothing
        except OSError:
            return handle  # a file system without locks, where nobody can be kept from a second run
        os.close(handle)


def _remove_unlocked(left: Path, forget: Callable[[Path], None] | None) -> None:
    """Remove what a cut run left, unless it is running after all."""
    with contextlib.suppress(SecondReadError), _locked(left.with_suffix(_LOCK), left):
        if forget:
            forget(left)
        shutil.rmtree(left, ignore_errors=True)


def _check_replaceable(path: Path, marker: str, inputs: Iterable[Path]) -> None:
    """Refuse to replace what somebody else put there."""
    for item in inputs:
        if item.resolve().is_relative_to(path.resolve()):
            raise InputError(f"{path} is, or holds, what is to be read ({item}). Choose another folder to write to.")
    if path.is_symlink():
        raise InputError(f"{path} is a link, which would be replaced by a folder. Name the folder itself.")
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file. Choose a folder to write to.")
    if path.is_dir() and any(path.iterdir()) and not (path / marker).exists():
        raise InputError(f"{path} holds other files (no {marker}), which would be lost. Choose a new or empty folder.")


def _aside(path: Path, make: Callable[[Path], None]) -> Path:
    """Make a hidden file or folder beside `path`, on the same file system so that a rename is atomic.

    Its name says which process writes it: what a killed process of this machine left under such a name is removed.
    """
    prefix = f".{path.name}.{socket.gethostname()}-"
    aside = path.with_name(f"{prefix}{os.getpid()}-{uuid.uuid4().hex[:8]}{_ASIDE}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f"{glob.escape(prefix)}*{_ASIDE}"):
            if not _is_running(left.name.removeprefix(prefix).partition("-")[0]):
                _remove(left)
        make(aside)
    except OSError as error:
        raise cannot_write(path, error) from error
    return aside


def _is_running(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of somebody else
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def sha256_bytes(data: bytes) -> str:
    """SHA-256 of bytes, hex."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path | str) -> str:
    """SHA-256 of a file's bytes, hex, read in chunks."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def write_json(path: Path | str, document: Any) -> None:
    """Write a JSON document, whole or not at all, keys in the order given."""
    with atomic_file(path) as aside:
        aside.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path | str) -> Any:
    """Read a JSON document.

    Raises:
        IntegrityError: the file is missing or is no JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise IntegrityError(f"{path} is missing. Run the step that writes it again.") from error
    except ValueError as error:
        raise IntegrityError(f"{path} is damaged ({error}). Run the step that writes it again.") from error
