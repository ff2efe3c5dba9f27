"""Fetching a public dataset, where its licence and its host allow that; else, what to do to have it.

A download that is cut goes on where it stopped, when the command is run again at the latest. It has its name only when
its checksum is the published one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondread.data.sources.layouts import LAYOUTS
from secondread.data.sources.medmnist import known_sets
from secondread.data.sources.published import Publication
from secondread.errors import DependencyError, InputError, IntegrityError
from secondread.logging import get_logger

# MedMNIST v2, record 10519652: files `<set>.npz` of 28 pixels, `<set>_<side>.npz` of 64, 128 and 224
MEDMNIST_URL = "https://zenodo.org/records/10519652/files"

_SMALLEST = "28"  # pixels; the side that the name of a file leaves out
_ATTEMPTS = 5  # in a row without a byte more, after which the host is taken to be down
_CONNECT_SECONDS, _READ_SECONDS = 10, 60  # the longest wait for an answer, and for the next bytes
_CHUNK = 1 << 18
_PARTIAL, _BEYOND_THE_END = 206, 416  # RFC 9110, 15.3.7 and 15.5.17

log = get_logger(__name__)


@dataclass(frozen=True)
class Remote:
    """One file to fetch: where it is, its checksum as published, and who may use it."""

    url: str
    md5: str  # hex
    license: str

    @property
    def file_name(self) -> str:
        """The last part of its address."""
        return self.url.rpartition("/")[2]


def remotes(base: str = MEDMNIST_URL) -> dict[str, Remote]:
    """What can be fetched, by name: `octmnist`, `octmnist_64`, ...

    Args:
        base: address of the folder with MedMNIST's files.
    """
    found = {}
    for name, facts in known_sets().items():
        for side, md5 in facts.md5.items():
            key = name if side == _SMALLEST else f"{name}_{side}"
            found[key] = Remote(f"{base}/{key}.npz", md5, facts.license)
    return found


def repositories() -> dict[str, Publication]:
    """Datasets that lie in a git repository, by name."""
    return {name: layout.publication for name, layout in LAYOUTS.items() if layout.publication.repository}


def of_kaggle(name: str) -> Publication:
    """A dataset that lies there.

    Raises:
        InputError: there is no such dataset.
    """
    if name not in LAYOUTS or name in repositories():
        fetched = ", ".join(sorted([*known_sets(), *repositories()]))
        raise InputError(
            f"'{name}' is no dataset known here. Fetched: {fetched}, those of MedMNIST also with _64, _128 and _224. "
            f"With a token of Kaggle: {', '.join(sorted(LAYOUTS.keys() - repositories().keys()))}."
        )
    return LAYOUTS[name].publication


def instructions(publication: Publication, why: str) -> tuple[str, ...]:
    """What to do to have a dataset of Kaggle, line by line.

    Args:
        publication: of it.
        why: it was not fetched, as the end of a sentence.
    """
    facts = (
        f"Licence: {publication.license}.",
        f"Cite: {publication.citation}.",
        f"Size: {publication.size}, {publication.images:,} images. Described at {publication.page}",
    )
    return (
        f"{publication.title} was not fetched: {why}.",
        *_steps(publication),
        *facts,
    )


def _steps(publication: Publication) -> tuple[str, ...]:
    name = publication.name
    fetch = f"python -c \"import kagglehub; print(kagglehub.dataset_download('{publication.kaggle}'))\""
    return (
        "  1. Kaggle wants an account, and your consent to its terms: save a token from "
        "https://www.kaggle.com/settings as it says there",
        f"  2. secondread data download {name}; or, on a machine without it, pip install kagglehub and {fetch}",
        f"  3. secondread data ingest {name}:<the folder that it printed> --output var/{name}",
    )


def download(remote: Remote, folder: Path) -> Path:
    """Fetch a file, unless it is there.

    Args:
        remote: what to fetch.
        folder: where it goes; made if it is not there.
    Returns:
        The file.
    Raises:
        DependencyError: the host cannot be reached, or says no.
        IntegrityError: what came has another checksum than was published; it is removed.
        InputError: another file of this name is there, or the folder cannot be written.
    """
    import pooch  # with its own dependencies, which only this command needs

    pooch.get_logger().setLevel("ERROR")  # it speaks of what we say ourselves
    path = folder / remote.file_name
    known = f"md5:{remote.md5}"
    with _told(remote, folder):
        if path.exists() and not pooch.hashes.hash_matches(path, known):
            raise InputError(f"{path} is there, and is not the published file. Move it, or name another folder.")
        fetch = _resuming(folder / f".{remote.file_name}.part")
        try:
            pooch.retrieve(remote.url, known, fname=path.name, path=folder, downloader=fetch)
        except ValueError as error:  # what pooch raises for a checksum
            raise IntegrityError(
                f"what came from {remote.url} is not the published file (another md5). It was removed: try again later."
            ) from error
    return path


def _resuming(part: Path) -> Callable[[str, Any, Any], None]:
    """A downloader for pooch that goes on with `part`, and keeps it where the connection is cut."""
    import requests

    def fetch(url: str, output: Any, _: Any) -> None:
        idle = 0
        while True:
            before = _size(part)
            try:
                _append(url, part)
                break
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError):
                idle = 0 if _size(part) > before else idle + 1
                if idle >= _ATTEMPTS:
                    raise
                log.warning("the connection to %s was cut after %d bytes: going on there.", url, _size(part))
        os.replace(part, output)

    return fetch


def _append(url: str, part: Path) -> None:
    """Ask for what is missing, and append it as it comes."""
    import requests

    have = _size(part)
    headers = {"Range": f"bytes={have}-"} if have else {}
    # no compression on the way, which would make positions mean something else
    with requests.get(
        url,
        headers=headers | {"Accept-Encoding": "identity"},
        stream=True,
        timeout=(_CONNECT_SECONDS, _READ_SECONDS),
    ) as answer:
        if have and answer.status_code == _BEYOND_THE_END:
            return  # all of it is there; the checksum will tell
        answer.raise_for_status()
        # a host that does not know ranges sends it all again
        with part.open("ab" if answer.status_code == _PARTIAL else "wb") as file:
            for chunk in answer.iter_content(_CHUNK):
                file.write(chunk)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@contextmanager
def _told(remote: Remote, folder: Path) -> Iterator[None]:
    """Turn what the network and the disk raise into one line."""
    import requests

    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except requests.HTTPError as error:
        status = error.response.status_code
        raise DependencyError(f"{remote.url} answered {status}. Try again later, or fetch it in a browser.") from error
    except requests.RequestException as error:
        raise DependencyError(
            f"{remote.url} cannot be reached, or not to the end ({type(error).__name__}). Run the command again: it "
            "goes on where it stopped."
        ) from error
    except OSError as error:
        raise InputError(f"cannot write to {folder} ({error.strerror}). Free space, or name another folder.") from error
