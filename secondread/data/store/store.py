"""What every store can do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

THREADS = 8  # requests at a time: one connection does not fill a network, and 8 parts are 128 MiB of memory


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
