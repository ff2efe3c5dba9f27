"""S3, and whatever speaks its API (MinIO, Ceph, Swift's s3api), as a store."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import islice
from typing import TypeVar
from urllib.parse import urlsplit

from secondread.config.environment import S3Settings
from secondread.data.store.connection import CHUNK_BYTES, pool, unreachable
from secondread.data.store.retry import again
from secondread.data.store.store import Listed, Stored, Stream
from secondread.errors import DependencyError, InputError, SecondReadError

try:
    from minio import Minio
    from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
    from urllib3.exceptions import HTTPError
except ImportError as missing:
    raise DependencyError("s3:// needs the client of MinIO. Install it: pip install 'secondread[store]'.") from missing

T = TypeVar("T")

_MISSING = ("NoSuchKey", "NoSuchBucket")
_REFUSED = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidSecurity", "ExpiredToken")
_BUSY = ("InternalError", "ServiceUnavailable", "SlowDown", "InsufficientStorage", "XMinioStorageFull")
_MD5 = re.compile("[0-9a-f]{32}")  # of an object in one piece; one that came in parts has a dash and their number
_ENCRYPTED = ("x-amz-server-side-encryption-aws-kms-key-id", "x-amz-server-side-encryption-customer-algorithm")
_SHA256 = "sha256"  # the object's metadata `x-amz-meta-sha256`


class S3Store:
    """Objects of one bucket below a prefix. Each is sent in one request, whose signature covers its SHA-256."""

    def __init__(self, bucket: str, prefix: str, settings: S3Settings) -> None:
        self._bucket, self._prefix = bucket, f"{prefix}/" if prefix else ""
        self._endpoint = settings.endpoint
        self.uri = f"s3://{bucket}/{prefix}".rstrip("/")
        address = urlsplit(settings.endpoint)
        if address.scheme not in ("http", "https") or not address.hostname or address.username:
            raise InputError("SECONDREAD_S3_ENDPOINT must be the server's URL, such as https://minio.example.org:9000.")
        try:
            self._client = Minio(
                endpoint=address.netloc,
                access_key=settings.access_key or None,
                secret_key=settings.secret_key or None,
                session_token=settings.session_token or None,
                secure=address.scheme == "https",
                region=settings.region,
                http_client=pool(),
            )
            exists = again(lambda: self._asked(lambda: self._client.bucket_exists(bucket)))
        except ValueError as error:  # of the client: a bucket's name that cannot be, half a pair of keys
            raise InputError(f"{self.uri} cannot be opened: {error}. Correct the URI or the S3 settings.") from error
        if not exists:
            raise InputError(f"bucket '{bucket}' does not exist at {self._endpoint}. Create it, or name another.")

    def folders(self) -> list[str]:
        """Names of the folders right below the root, sorted."""
        start = len(self._prefix)

        def ask() -> list[str]:
            found = self._client.list_objects(self._bucket, prefix=self._prefix or None)
            return sorted(str(item.object_name)[start:].rstrip("/") for item in found if item.is_dir)

        return again(lambda: self._asked(ask))

    def stat(self, key: str) -> Stored | None:
        """What is stored under a key; None if nothing."""

        def ask() -> Stored | None:
            found = self._client.stat_object(self._bucket, self._prefix + key)
            return Stored(found.size or 0, (found.metadata or {}).get(f"x-amz-meta-{_SHA256}", ""))

        return again(lambda: self._asked_for(ask))

    def read(self, key: str) -> bytes | None:
        """An object's bytes; None if there is no such object."""
        return self._read(key, 0, 0)

    def read_range(self, key: str, offset: int, size: int) -> bytes | None:
        """`size` bytes of an object from `offset` on; None if there is no such object."""
        return self._read(key, offset, size)

    def _read(self, key: str, offset: int, size: int) -> bytes | None:
        """An object's bytes; with a size of 0 all of them."""

        def ask() -> bytes:
            with self._client.get_object(self._bucket, self._prefix + key, offset=offset, length=size) as response:
                data: bytes = response.read()
                response.release_conn()
            return data

        return again(lambda: self._asked_for(ask))

    def write(self, key: str, data: bytes, *, sha256: str) -> None:
        """Store an object: whole and as sent, or not at all."""

        def ask() -> None:
            self._client.put_object(
                self._bucket, self._prefix + key, BytesIO(data), len(data), metadata={_SHA256: sha256}
            )

        again(lambda: self._asked(ask))

    def objects(self, start: str, *, at_most: int) -> list[Listed]:
        """Objects whose keys begin so, sorted by key; the first `at_most`."""
        skipped = len(self._prefix)

        def ask() -> list[Listed]:
            found = self._client.list_objects(self._bucket, prefix=self._prefix + start or None, recursive=True)
            return [
                Listed(str(item.object_name)[skipped:], item.size or 0, (item.etag or "").strip('"'))
                for item in islice(found, at_most)
            ]

        return again(lambda: self._asked(ask))

    @contextmanager
    def stream(self, key: str, offset: int) -> Iterator[Stream | None]:
        """An object from a byte on, as it comes; None if there is no such object."""
        response = self._asked_for(lambda: self._client.get_object(self._bucket, self._prefix + key, offset=offset))
        if response is None:
            yield None
            return
        try:
            etag = response.headers.get("ETag", "").strip('"')
            is_md5 = bool(_MD5.fullmatch(etag)) and not any(name in response.headers for name in _ENCRYPTED)
            yield Stream(etag, is_md5, response.stream(CHUNK_BYTES, decode_content=False))
        except HTTPError as error:
            raise self._plain(error) from None
        finally:
            response.close()
            response.release_conn()

    def _asked_for(self, action: Callable[[], T | None]) -> T | None:
        """An object, or None where there is none."""
        try:
            return self._asked(action)
        except _MissingError:
            return None

    def _asked(self, action: Callable[[], T]) -> T:
        """Do something, and say in one line what the server said."""
        try:
            return action()
        except (MinioException, HTTPError) as error:
            # no cause: the client's own text holds request and answer
            raise self._plain(error) from None

    def _plain(self, error: Exception) -> SecondReadError:
        if isinstance(error, HTTPError):
            return unreachable(self._endpoint, error, "SECONDREAD_S3_ENDPOINT")
        code = error.code if isinstance(error, S3Error) else None
        if code in _MISSING:
            return _MissingError(f"there is no such object or bucket below {self.uri}. Look with `data list`.")
        if code in _REFUSED:
            return InputError(
                f"{self._endpoint} refuses the access key for {self.uri} ({code}). "
                "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to a pair that may read and write there."
            )
        status = _status(error)
        if code in _BUSY or status >= 500:
            return DependencyError(
                f"{self._endpoint} could not do it ({code or status}): its disks are full or it is "
                f"overloaded. Free space there, then run the command again: it goes on where it stopped."
            )
        return InputError(f"{self._endpoint} refuses what was asked of {self.uri} ({code or status}).")


class _MissingError(InputError):
    """There is no such object."""


def _status(error: Exception) -> int:
    if isinstance(error, S3Error):
        return int(error.response.status)
    if isinstance(error, ServerError):
        return error.status_code
    return error._code if isinstance(error, InvalidResponseError) else 0
