"""Lossless JPEG, JPEG-LS and 12-bit JPEG by GDCM, each frame in a process of its own.

A few changed bytes let GDCM's decoders crash, and a file that comes over the network may hold any bytes. A process that
loads GDCM alone costs 40 ms; what it does to itself, nobody else notices.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from secondread.errors import DependencyError, ImageError

_PROGRAM = Path(__file__).with_name("gdcm_child.py")
_TIMEOUT_SECONDS = 120.0  # twice the processor time that the child allows itself, since cores are shared
_CANNOT_LOAD = 3  # the child's exit code
_LOADED = b"secondread: GDCM is loaded\n"  # the child's first words
_LONGEST_REASON = 200  # characters of what the child said last
# how the kernel, short of memory, and an operator end a process; what a damaged frame does to it ends otherwise
_ENDED_BY_OTHERS = frozenset({-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP})


@dataclass(frozen=True)
class FrameLayout:
    """What GDCM must be told of a frame.

    Attributes:
        transfer_syntax: UID.
        rows, columns: pixels.
        samples: a pixel, 1 or 3.
        bits: a sample, as the frame itself says.
        signed: the samples are.
        photometric: DICOM's photometric interpretation.
        extended: lossy JPEG of 12 bits.
    """

    transfer_syntax: str
    rows: int
    columns: int
    samples: int
    bits: int
    signed: bool
    photometric: str
    extended: bool


def decode_frame(frame: bytes, layout: FrameLayout) -> npt.NDArray[Any]:
    """Decode one frame.

    Args:
        frame: as encoded.
        layout: its sizes must have been checked against the frame's own.
    Returns:
        uint8, uint16, int8 or int16 (rows, columns), or (rows, columns, 3).
    Raises:
        ImageError: the frame is damaged.
        DependencyError: GDCM is not installed or does not start, or this machine lacks the memory or the time: the
            frame may be whole.
    """
    found = importlib.util.find_spec("gdcm")
    if found is None or found.origin is None:
        raise DependencyError("DICOM films of this kind need GDCM. Run `pip install python-gdcm`.")
    described = json.dumps(asdict(layout) | {"signed": int(layout.signed)})
    command = [sys.executable, "-I", "-S", str(_PROGRAM), str(Path(found.origin).parent), described]
    environment = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    try:
        done = subprocess.run(  # noqa: S603 - our own program, no shell
            command, input=frame, capture_output=True, timeout=_TIMEOUT_SECONDS, env=environment, check=False
        )
    except subprocess.TimeoutExpired as error:
        # it may not compute for so long: it waited for a processor
        raise DependencyError(
            f"a DICOM frame was not decoded in {_TIMEOUT_SECONDS:.0f} s: this machine is overloaded. Try again later."
        ) from error
    _check_ended(done)
    dtype = np.dtype(f"{'i' if layout.signed else 'u'}{1 if layout.bits <= 8 else 2}")
    shape = (layout.rows, layout.columns) if layout.samples == 1 else (layout.rows, layout.columns, layout.samples)
    if done.returncode != 0 or len(done.stdout) != int(np.prod(shape)) * dtype.itemsize:
        raise ImageError("the DICOM file's compressed frame is damaged or cut off. Export the film again.")
    return np.frombuffer(done.stdout, dtype).reshape(shape)


def _check_ended(done: subprocess.CompletedProcess[bytes]) -> None:
    """Refuse to call a frame damaged because of the machine that was to decode it."""
    if done.returncode == _CANNOT_LOAD:
        reason = " ".join(done.stderr.decode(errors="replace").split())
        raise DependencyError(f"GDCM cannot be loaded ({reason}). Run `pip install --force-reinstall python-gdcm`.")
    if done.returncode in _ENDED_BY_OTHERS:
        raise DependencyError(
            "a DICOM frame was not decoded: its process was ended from outside, as when memory runs out. Free memory, "
            "then start again."
        )
    if done.returncode != 0 and _LOADED not in done.stderr:
        raise DependencyError(
            f"GDCM does not start here ({_how_it_ended(done)}), so the frame was not decoded. Run `pip install "
            "--force-reinstall python-gdcm`, or look what ends its process."
        )


def _how_it_ended(done: subprocess.CompletedProcess[bytes]) -> str:
    said = done.stderr.decode(errors="replace").split("\n")
    last = next((" ".join(line.split()) for line in reversed(said) if line.strip()), "")
    code = done.returncode
    ended = f"ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return f"{ended}: {last[:_LONGEST_REASON]}" if last else ended
