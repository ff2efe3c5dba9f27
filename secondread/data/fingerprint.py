"""A hash over files that changes whenever a name or a byte does, so no cache can serve a changed source or code."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import secondread
from secondread.atomic import sha256_file
from secondread.cpus import cpu_limit
from secondread.data.engines.ahead import ahead

_AHEAD = 64  # files that are hashed or wait for their turn
# their wheels hold the codecs: libjpeg-turbo, OpenJPEG, GDCM; scipy filters what detail is hashed of
_PIXEL_PACKAGES = (
    *("numpy", "pillow", "pydicom", "pylibjpeg", "pylibjpeg-openjpeg", "python-gdcm"),
    *("scipy", "simplejpeg"),
)
_CODE_SUFFIXES = frozenset({".py", ".json", ".yaml", ".html", ".css", ".md"})


def fingerprint_files(root: Path, files: Iterable[Path]) -> str:
    """SHA-256, hex, over the files' names below `root` and their bytes, whatever order they come in.

    A file that cannot be read counts as such: the hash changes when it can be.

    Args:
        root: folder that the names are relative to.
        files: the files, all below `root`. Their names may be any bytes.
    """
    # names as bytes: sorted, a hundred thousand paths take 500 bytes each
    start = len(os.fsencode(root / "x")) - 1
    names = sorted(os.fsencode(path)[start:] for path in files)
    total = hashlib.sha256()
    with ThreadPoolExecutor(cpu_limit()) as pool:  # hashing releases the interpreter lock
        digests = ahead(pool, partial(_digest, root), names, limit=_AHEAD)
        for name, digest in zip(names, digests, strict=True):
            total.update(b"\0" + name + b"\0" + digest.encode())
    return total.hexdigest()


def _digest(root: Path, name: bytes) -> str:
    try:
        return sha256_file(root / os.fsdecode(name))
    except OSError as error:
        # ingest leaves out and lists what cannot be read; one such file must not stop it here
        return f"unreadable: {error.errno}"


def code_fingerprint() -> str:
    """SHA-256, hex, over the library's files. It changes with every change of the code and with nothing else."""
    root = Path(secondread.__file__).parent
    return fingerprint_files(root, (path for path in root.rglob("*") if path.suffix in _CODE_SUFFIXES))


def pixel_packages() -> dict[str, str]:
    """Versions of the installed packages that decide, beside the library's own code, what pixels an image has.

    Returns:
        Version by name; empty for what is not installed.
    """
    return {name: _installed(name) for name in _PIXEL_PACKAGES}


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
