"""A hash of the library's own sources, so that a cache never serves what another version of the code made."""

from __future__ import annotations

from pathlib import Path

import secondread
from secondread.data.fingerprint import fingerprint_files

_SUFFIXES = frozenset({".py", ".json", ".html", ".css"})


def code_fingerprint() -> str:
    """SHA-256, hex, over the library's files. It changes with every change of the code and with nothing else."""
    root = Path(secondread.__file__).parent
    return fingerprint_files(root, (path for path in root.rglob("*") if path.suffix in _SUFFIXES))
