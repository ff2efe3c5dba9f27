"""Fetching a dataset that lies in a git repository: git checks every file by the hash that names it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from secondread.atomic import atomic_folder
from secondread.errors import DependencyError

MARKER = ".git"

# git asks for a password where a repository is gone; nobody is there to answer
_QUIET = {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true", "LC_ALL": "C"}


def clone(url: str, folder: Path) -> Path:
    """Fetch the last state of a repository, unless it is there; whole or not at all.

    A clone that is cut begins anew: git cannot resume one.

    Args:
        url: of the repository.
        folder: where it goes, under the name of the repository.
    Returns:
        The folder with its files.
    Raises:
        DependencyError: git is missing, or cannot reach the repository.
        InputError: something else of this name is there, or the folder cannot be written.
    """
    program = shutil.which("git")
    if program is None:
        raise DependencyError("git is missing, which fetches this dataset. Install it (Debian: apt install git).")
    path = folder / url.rstrip("/").rpartition("/")[2].removesuffix(".git")
    if (path / MARKER).is_dir():
        return path
    with atomic_folder(path, marker=MARKER) as aside:
        done = subprocess.run(  # noqa: S603 - an address of ours, no shell
            [program, "clone", "--quiet", "--depth", "1", "--", url, str(aside)],
            env=os.environ | _QUIET,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode:
            reason = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
            raise DependencyError(f"git cannot fetch {url} ({reason}). Try again later.")
    return path
