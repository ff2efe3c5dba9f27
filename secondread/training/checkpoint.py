"""Checkpoints of a training, as files that are whole or refused.

    secondread checkpoint SHA-256-OF-THE-REST
    what `torch.save` writes

The last two are kept: should the latest be damaged, the one before is gone on from.
"""

from __future__ import annotations

import errno
import hashlib
import io
import pickle
from pathlib import Path
from typing import Any

import torch

from secondread.atomic import atomic_file
from secondread.errors import DependencyError, InputError, IntegrityError
from secondread.logging import get_logger

_TITLE = b"secondread checkpoint "
_HEADER_BYTES = len(_TITLE) + 64 + 1  # the digest in hex, and an end of line
_KEPT = 2
_NOT_WRITABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})

log = get_logger(__name__)


def write_checkpoint(path: Path, content: Any) -> None:
    """Write a checkpoint, whole or not at all."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    payload = buffer.getbuffer()
    digest = hashlib.sha256(payload).hexdigest().encode()
    with atomic_file(path) as aside, aside.open("wb") as file:
        file.write(_TITLE + digest + b"\n")
        file.write(payload)


def read_checkpoint(path: Path) -> Any:
    """Read a checkpoint, onto the CPU. Nothing but tensors and plain values is ever made of it.

    Raises:
        IntegrityError: it is not what was written, or holds something else.
    """
    data = memoryview(path.read_bytes())
    header, payload = bytes(data[:_HEADER_BYTES]), data[_HEADER_BYTES:]
    if header != _TITLE + hashlib.sha256(payload).hexdigest().encode() + b"\n":
        raise IntegrityError(f"checkpoint {path} is damaged: its bytes are not those that were written.")
    try:
        return torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise IntegrityError(f"checkpoint {path} is none of ours: it holds more than tensors and values.") from error


class CheckpointFolder:
    """The checkpoints of one run.

    Args:
        root: folder that they lie in.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, content: Any, *, epoch: int, step: int) -> None:
        """Write one and forget those before the last.

        Args:
            content: tensors and plain values.
            epoch: whole epochs done.
            step: steps done of the epoch after them.
        Raises:
            DependencyError: the volume takes no files any more.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            write_checkpoint(self.root / f"checkpoint-{epoch:05d}-{step:07d}.pt", content)
            for old in self._paths()[:-_KEPT]:
                old.unlink()
        except (InputError, OSError) as error:
            reason = error if isinstance(error, OSError) else error.__cause__
            if not isinstance(reason, OSError) or reason.errno not in _NOT_WRITABLE:
                raise
            raise DependencyError(
                f"cannot write {self.root} any more: {reason.strerror}. Look after the volume, and start the run "
                "again: it goes on from the last checkpoint."
            ) from error

    def latest(self) -> Any | None:
        """The last whole one; None where there is none at all.

        Raises:
            IntegrityError: there are some, and all are damaged.
        """
        paths = self._paths()
        for number, path in enumerate(reversed(paths)):
            try:
                return read_checkpoint(path)
            except IntegrityError as error:
                if number + 1 == len(paths):
                    raise IntegrityError(
                        f"{error} No other is left. Train from the beginning with --fresh, and look after the disk."
                    ) from None
                log.warning("%s Going on from the one before.", error)
        return None

    def _paths(self) -> list[Path]:
        """Oldest first."""
        return sorted(self.root.glob("checkpoint-*.pt"))
