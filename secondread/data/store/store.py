"""What every store can do, and from a URI to the store.

/mnt/versions, file:///mnt/versions     a folder, on this machine or mounted
s3://bucket/a/prefix                    S3, or whatever speaks its API
swift://container/a/prefix              OpenStack Swift
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
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


@dataclass(frozen=True)
class Listed:
    """One object of a listing.

    Attributes:
        key: below the root.
        size: bytes.
        etag: what the server calls this content; another after every change.
    """

    key: str
    size: int
    etag: str


@dataclass(frozen=True)
class Stream:
    """An object on its way.

    Attributes:
        etag: of what comes.
        is_md5: the etag is the MD5 of the whole content, which some servers' are not, or not of every object.
        chunks: the bytes.
    """

    etag: str
    is_md5: bool
    chunks: Iterator[bytes]


class ObjectStore(Store, Protocol):
    """A store on a server, whose objects others put there."""

    def objects(self, start: str, *, at_most: int) -> list[Listed]:
        """Objects whose keys begin so, sorted by key; the first `at_most`."""

    def stream(self, key: str, offset: int) -> AbstractContextManager[Stream | None]:
        """An object from a byte on, as it comes; None if there is no such object. Nothing is asked again."""


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
    return open_object_store(uri, environment)


def is_stored(uri: str) -> bool:
    """Whether the URI names something on a server that `open_object_store` opens."""
    return uri.startswith(("s3://", "swift://"))


def split_uri(uri: str) -> tuple[str, str, str]:
    """Scheme, bucket and prefix of a store on a server.

    Raises:
        InputError: the URI names none, or holds credentials.
    """
    scheme, _, rest = uri.partition("://")
    bucket, _, prefix = rest.partition("/")
    if "@" in bucket:
        raise InputError("a URI of a store must hold no credentials. Set them in the environment, and leave them out.")
    if not is_stored(uri) or not bucket:
        raise InputError(f"'{uri}' names no store. Use a folder, s3://bucket/prefix or swift://container/prefix.")
    return scheme, bucket, prefix


def open_object_store(uri: str, environment: Environment) -> ObjectStore:
    """Open a store on a server: see `open_store`."""
    scheme, bucket, prefix = split_uri(uri)
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
