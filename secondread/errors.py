"""The exception tree, with the exit code and the HTTP status of each.

    SecondReadError               70  500  a bug of ours
    ├── InputError                 2  400  the input is wrong
    │   ├── ImageError             2  400  one image cannot be read
    │   ├── TooLargeError          2  413  more bytes, pixels or images than the limit
    │   └── IntegrityError         2  400  a stored artifact is not what its own record says
    ├── DependencyError            3  503  something that is needed is missing or down
    │   ├── OverloadedError        3  503  busy: ask again later
    │   └── StoppedError           3  503  asked to end before it was done: run it again
    └── GateRefused                4  409  a gate said no

Exit code 0 means done. Every message is one line that says what is wrong, where, and how to fix it.
"""

from __future__ import annotations

from typing import ClassVar


class SecondReadError(Exception):
    """Base of every error that this project raises on purpose."""

    exit_code: ClassVar[int] = 70
    http_status: ClassVar[int] = 500


class InputError(SecondReadError):
    """What was given (a path, a file, a value) cannot be used."""

    exit_code = 2
    http_status = 400


class ImageError(InputError):
    """One image is corrupt, truncated or of a kind that is not read."""


class TooLargeError(InputError):
    """More bytes, pixels or images than the stated limit."""

    http_status = 413


class IntegrityError(InputError):
    """A stored artifact is missing, incomplete or changed since its success manifest was written."""


class DependencyError(SecondReadError):
    """A program, package or server that is needed is missing or does not answer.

    Attributes:
        retry_after_seconds: when a server that says so may be asked again, in seconds.
    """

    exit_code = 3
    http_status = 503
    retry_after_seconds: ClassVar[int] = 5  # a model server that ended is back by then


class OverloadedError(DependencyError):
    """The server is at its limit; the same request may go through later."""

    retry_after_seconds = 1


class StoppedError(DependencyError):
    """The process was asked to end and kept what it had: the same command goes on."""


class GateRefused(SecondReadError):  # noqa: N818 - the gate's answer, not a fault
    """A gate looked at the figures and said no."""

    exit_code = 4
    http_status = 409


def exit_code_of(error: BaseException) -> int:
    """The process exit code for an error: its own if it is ours, 70 (a bug) otherwise."""
    return error.exit_code if isinstance(error, SecondReadError) else SecondReadError.exit_code
