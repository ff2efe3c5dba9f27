"""What every store can do, and from a URI to the store.

/mnt/versions, file:///mnt/versions     a folder, on this machine or mounted
s3://bucket/a/prefix                    S3, or whatever speaks its API
swift://container/a/prefix              OpenStack Swift
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import Protocol, TypeVar

from secondread.config.environment import Environment
from secondread.errors import DependencyError, InputError

T = TypeVar("T")

THREADS = 8  # requests at a time: one connection does not fill a network, and 8 parts are 128 MiB of memory
_TRIES = 3  # of one request, against a connection that breaks now and then
_WAIT_SECONDS = 0.3  # before the second try; twice that before the third


@dataclass(frozen=True)
class Stored:
    """What a store says of one object.

    Attributes:
        size: bytes.
        sha256: hex, as it was sent; empty where the object was put there by something else.
    """

    size: int
    sha256: str


class Store(Protocol):
    """Objects below a root. Keys are relative, with `/` between their parts.

    Every method raises DependencyError where the store does not answer or has no room, and InputError where it does not
    know the credentials or the bucket. No message holds a secret.
    """

    uri: str

    def folders(self) -> list[str]:
        """Names of the folders right below the root, sorted."""

    def stat(self, key: str) -> Stored | None:
        """What is stored under a key; None if nothing."""

    def read(self, key: str) -> bytes | None:
        """An object's bytes; None if there is no such object."""

    def read_range(self, key: str, offset: int, size: int) -> bytes | None:
        """`size` bytes of an object from `offset` on, of which it has so many; None if there is no such object."""

    def write(self, key: str, data: bytes, *, sha256: str) -> None:
        """Store an object: whole and as sent, or not at all."""


def open_store(uri: str, environment: Environment) -> Store:
    """Open a store.

    Args:
        uri: as this module's docstring says.
        environment: endpoints and credentials.
    Raises:
        InputError: the URI names none, its bucket does not exist, or the credentials are refused.
        DependencyError: the server does not answer, or what speaks to it is not installed.
    """
    scheme, mark, rest = uri.partition("://")
    if not mark or scheme == "file":
        from secondread.data.store.local import LocalStore

        return LocalStore(Path(rest if mark else uri).expanduser().absolute())
    bucket, _, prefix = rest.partition("/")
    if scheme not in ("s3", "swift") or not bucket:
        raise InputError(f"'{uri}' names no store. Use a folder, s3://bucket/prefix or swift://container/prefix.")
    if scheme == "s3":
        from secondread.data.store.s3 import S3Store

        return S3Store(bucket, prefix.strip("/"), environment.s3)
    from secondread.data.store.swift import SwiftStore

    return SwiftStore(bucket, prefix.strip("/"), environment.swift)


def again(action: Callable[[], T]) -> T:
    """Do something; when the store does not answer, do it again, a little later each time.

    Raises:
        DependencyError: it did not answer to the last.
    """
    for attempt in range(1, _TRIES):
        try:
            return action()
        except DependencyError:
            sleep(_WAIT_SECONDS * 2 ** (attempt - 1))
    return action()
