"""From a URI to the store.

/mnt/versions, file:///mnt/versions     a folder, on this machine or mounted
s3://bucket/a/prefix                    S3, or whatever speaks its API
swift://container/a/prefix              OpenStack Swift
"""

from __future__ import annotations

from pathlib import Path

from secondread.config.environment import Environment
from secondread.data.store.local import LocalStore
from secondread.data.store.store import ObjectStore, Store
from secondread.errors import InputError


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
