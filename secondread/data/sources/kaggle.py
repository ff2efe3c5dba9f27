"""Fetching a public dataset from Kaggle, with the token of whoever asks, who agreed to its terms with the account.

kagglehub downloads, checks and extracts in a folder of its own; what is whole is moved to where it was asked for.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from secondread.atomic import resumable_folder, sha256_bytes, write_json
from secondread.data.sources.published import Publication
from secondread.errors import DependencyError, InputError, IntegrityError
from secondread.logging import get_logger

MARKER = ".kaggle-dataset.json"  # in every folder that is whole; hidden, so that no layout sees it

_WORK = ".kagglehub"  # its folder, in ours: archives of which a part came are gone on with there
_LINES_IN_A_LOG = "30"  # seconds between two; on a terminal its bar moves as it likes
_REFUSED = (401, 403, 404)

log = get_logger(__name__)


class NotGiven(DependencyError):  # noqa: N818 - the answer of a host, not a fault
    """Kaggle gives nothing: no token, no network, or it refuses. The message says which, to be put after a colon."""


def fetch_from_kaggle(publication: Publication, folder: Path) -> Path:
    """Fetch a dataset, unless it is there; whole or not at all.

    What is cut goes on where it stopped, when the command is run again at the latest. kagglehub checks what came
    against the checksum that the host gives with it.

    Args:
        publication: of Kaggle.
        folder: where it goes, under its name here.
    Returns:
        The folder with its files.
    Raises:
        NotGiven: nothing can be had from there now.
        DependencyError: it was cut and nothing more comes, or the disk is full.
        IntegrityError: what came is damaged; it is removed.
        InputError: something else of this name is there, or the folder cannot be written.
    """
    path = folder / publication.name
    if (path / MARKER).is_file():
        return path
    hub = _quiet_kagglehub()
    _check_token(hub)
    with resumable_folder(path, marker=MARKER, key=sha256_bytes(publication.kaggle.encode())) as aside:
        log.info("fetching %s of Kaggle (%s)", publication.kaggle, publication.size)
        work = aside / _WORK
        with _told(publication, work), _only_in(work):
            came = _to_the_end(lambda: Path(hub.dataset_download(publication.kaggle)), work)
        for entry in sorted(came.iterdir()):
            os.replace(entry, aside / entry.name)
        shutil.rmtree(work)
        write_json(aside / MARKER, {"dataset": publication.kaggle, "version": came.name})
    return path


def _quiet_kagglehub() -> Any:
    """The package, with a bar of progress on stderr and not a word on stdout, which is for results."""
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_MININTERVAL", _LINES_IN_A_LOG)  # read as its bar is imported
    import kagglehub

    logging.getLogger("kagglehub").setLevel("CRITICAL")  # it speaks of what we say ourselves
    return kagglehub


def _check_token(hub: Any) -> None:
    try:
        token = hub.config.get_kaggle_credentials()
    except (OSError, ValueError):  # its message may quote the file
        raise NotGiven("the token of Kaggle that is saved here cannot be read") from None
    if token is None:
        raise NotGiven("no token of Kaggle is saved here")


@contextlib.contextmanager
def _only_in(work: Path) -> Iterator[None]:
    """Have kagglehub write there, and not in its cache of this user or of a notebook's host."""
    ours = {"KAGGLEHUB_CACHE": str(work), "DISABLE_KAGGLE_CACHE": "true", "DISABLE_COLAB_CACHE": "true"}
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # where it tells of its own newer versions
            yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _to_the_end(fetch: Callable[[], Path], work: Path) -> Path:
    """Fetch again, which goes on, for as long as each time more comes."""
    import requests

    while True:
        before = _bytes_in(work)
        try:
            return fetch()
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError):
            if _bytes_in(work) <= before:
                raise
            log.warning("the connection to Kaggle was cut after %d bytes: going on there.", _bytes_in(work))


@contextlib.contextmanager
def _told(publication: Publication, work: Path) -> Iterator[None]:
    """Turn what goes wrong into one line. No text of the error is in it: it may hold a signed address."""
    import tarfile
    import zipfile

    import requests
    from kagglehub.exceptions import DataCorruptionError

    try:
        yield
    except requests.HTTPError as error:
        _drop_if_empty(work)
        raise NotGiven(_refusal(publication, error.response)) from None
    except requests.RequestException as error:
        kind = type(error).__name__
        if not _drop_if_empty(work):
            raise DependencyError(
                f"Kaggle cannot be reached to the end of {publication.kaggle} ({kind}). Run the command again: it goes "
                "on where it stopped."
            ) from None
        raise NotGiven(f"Kaggle cannot be reached ({kind})") from None
    except (DataCorruptionError, zipfile.BadZipFile, tarfile.TarError, EOFError, ValueError):
        raise IntegrityError(
            f"what came from Kaggle for {publication.kaggle} is damaged. It was removed: run the command again."
        ) from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise  # who holds the folder tells it
        raise InputError(f"cannot write to {work} ({error.strerror}). Name another folder.") from error


def _refusal(publication: Publication, response: Any) -> str:
    status = getattr(response, "status_code", 0)
    if status in _REFUSED:
        return (
            f"Kaggle refuses {publication.kaggle} with this token (status {status}): it ran out, or terms wait for you"
        )
    return f"Kaggle answered with status {status}"


def _drop_if_empty(work: Path) -> bool:
    """Remove folders in which nothing came."""
    if _bytes_in(work):
        return False
    shutil.rmtree(work, ignore_errors=True)
    return True


def _bytes_in(work: Path) -> int:
    return sum(path.stat().st_size for path in work.rglob("*") if path.is_file())
