"""Which code runs: the library's own sources, which caches go by, and the git revision for people."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import secondread
from secondread.atomic import sha256_bytes
from secondread.config.environment import Environment
from secondread.data.fingerprint import code_fingerprint, pixel_packages
from secondread.errors import IntegrityError


def cached_code(*, remote: bool) -> str:
    """What a run's cache goes by beside inputs and settings: the code, and the packages that decide pixels.

    Args:
        remote: pods do the work. Their packages are the image's, whatever is installed here, and the image's name is in
            the key of Kubeflow's cache anyway.
    Returns:
        The `code_fingerprint`; on this machine with the hash of the packages' versions behind it.
    """
    code = code_fingerprint()
    return code if remote else f"{code}-{sha256_bytes(json.dumps(pixel_packages()).encode())[:16]}"


def check_code(fingerprint: str) -> None:
    """Refuse to work for a client whose library is another than this one.

    The client's fingerprint is in the cache's key. If an image of another version did the work, its results would be
    handed out as those of the client's version.

    Args:
        fingerprint: the client's `cached_code`; empty: nobody says.
    Raises:
        IntegrityError: it is another.
    """
    theirs, ours = fingerprint.partition("-")[0], code_fingerprint()
    if theirs and theirs != ours:
        raise IntegrityError(
            f"client and image are of different versions: the client has code {theirs[:12]}, "
            f"the image that runs it {ours[:12]} (version {secondread.__version__}). Build the image from the client's "
            "sources with images/build.sh, or start the run with the image's version."
        )
    if fingerprint not in ("", ours, cached_code(remote=False)):
        raise IntegrityError(
            "the packages that decode images have other versions here than where the run was started. Install the "
            "versions of constraints.txt in both."
        )


def git_revision(environment: Environment) -> str:
    """The commit that the running code is of; `-dirty` at its end where files differ from it; empty if not known.

    Args:
        environment: an image says it there; else the checkout is asked.
    """
    checkout = Path(secondread.__file__).parent.parent
    git = shutil.which("git")
    if environment.revision or git is None or not (checkout / ".git").exists():
        return environment.revision

    def ask(*arguments: str) -> str:
        command = [git, "-C", str(checkout), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603

    revision = ask("rev-parse", "HEAD")
    return f"{revision}-dirty" if revision and ask("status", "--porcelain", "--untracked-files=no") else revision


__all__ = ["cached_code", "check_code", "code_fingerprint", "git_revision"]
