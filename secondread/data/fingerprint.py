"""A hash over files that changes whenever a name or a byte does, so that no cache can serve a changed source."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from secondread.atomic import sha256_file
from secondread.cpus import cpu_limit


def fingerprint_files(root: Path, files: Iterable[Path], *, salt: str = "") -> str:
    """SHA-256, hex, over the files' names below `root` and their bytes, whatever order they come in.

    Args:
        root: folder that the names are relative to.
        files: the files, all below `root`.
        salt: anything else that the result should depend on.
    """
    ordered = sorted(files)
    with ThreadPoolExecutor(cpu_limit()) as pool:  # hashing releases the interpreter lock
        digests = list(pool.map(sha256_file, ordered))
    total = hashlib.sha256(salt.encode())
    for path, digest in zip(ordered, digests, strict=True):
        total.update(f"\0{path.relative_to(root).as_posix()}\0{digest}".encode())
    return total.hexdigest()
