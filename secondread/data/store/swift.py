"""OpenStack Swift as a store, over plain HTTP."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any
from urllib.parse import quote, urlencode

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from secondread.config.environment import SwiftSettings
from secondread.data.store.connection import CHUNK_BYTES, pool, unreachable
from secondread.data.store.keystone import Access, sign_in
from secondread.data.store.retry import again
from secondread.data.store.store import Listed, Stored, Stream
from secondread.errors import DependencyError, InputError

_SHA256 = "X-Object-Meta-Sha256"
_PAGE = 10_000  # names an answer; Swift's own limit, and Ceph gives 5,000 or fewer without a word


class SwiftStore:
    """Objects of one container below a prefix. The server compares each with its MD5 before it takes it."""

    def __init__(self, container: str, prefix: str, settings: SwiftSettings) -> None:
        self._container, self._prefix = container, f"{prefix}/" if prefix else ""
        self._settings = settings
        self.uri = f"swift://{container}/{prefix}".rstrip("/")
        self._pool = pool()
        self._access: Access = again(lambda: sign_in(self._pool, settings))
        if self._ask("HEAD", None).status == 404:
            raise InputError(
                f"container '{container}' does not exist at {self._access.storage_url}. Create it, or name another."
            )

    def folders(self) -> list[str]:
        """Names of the folders right below the root, sorted."""
        found = (item for item in self._listed("", delimiter="/") if "subdir" in item)
        return sorted(item["subdir"][len(self._prefix) :].rstrip("/") for item in found)

    def objects(self, start: str, *, at_most: int) -> list[Listed]:
        """Objects whose keys begin so, sorted by key; the first `at_most`."""
        return [
            # of an object in segments `hash` is that of their list, and `slo_etag` is what comes with the object itself
            Listed(item["name"][len(self._prefix) :], item["bytes"], (item.get("slo_etag") or item["hash"]).strip('"'))
            for item in islice(self._listed(start), at_most)
        ]

    def _listed(self, start: str, **query: str) -> Iterator[dict[str, Any]]:
        """The container's entries, page by page, to one that is empty: a server may give less than it was asked for."""
        marker = ""
        while True:
            asked = {"prefix": self._prefix + start, "format": "json", "limit": str(_PAGE), "marker": marker, **query}
            answer = self._ask("GET", None, query=asked)
            page: list[dict[str, Any]] = [] if answer.status == 404 else json.loads(answer.data or b"[]")
            last = (page[-1].get("subdir") or page[-1]["name"]) if page else marker
            if last == marker:  # nothing more, or a server that gives the folder it was to go on after
                return
            yield from page
            marker = last

    def stat(self, key: str) -> Stored | None:
        """What is stored under a key; None if nothing."""
        answer = self._ask("HEAD", key)
        if answer.status == 404:
            return None
        return Stored(int(answer.headers["Content-Length"]), answer.headers.get(_SHA256, ""))

    def read(self, key: str) -> bytes | None:
        """An object's bytes; None if there is no such object."""
        answer = self._ask("GET", key)
        return None if answer.status == 404 else answer.data

    def read_range(self, key: str, offset: int, size: int) -> bytes | None:
        """`size` bytes of an object from `offset` on; None if there is no such object."""
        answer = self._ask("GET", key, headers={"Range": f"bytes={offset}-{offset + size - 1}"})
        return None if answer.status == 404 else answer.data

    def write(self, key: str, data: bytes, *, sha256: str) -> None:
        """Store an object: whole and as sent, or not at all."""
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        answer = self._ask("PUT", key, body=data, headers={"ETag": md5, _SHA256: sha256})
        if answer.status == 404:
            raise InputError(f"container '{self._container}' is gone from {self._access.storage_url}. Create it again.")

    @contextmanager
    def stream(self, key: str, offset: int) -> Iterator[Stream | None]:
        """An object from a byte on, as it comes; None if there is no such object."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        response = self._ask("GET", key, headers=headers, preload=False)
        try:
            if response.status == 404:
                yield None
                return
            if "X-Object-Manifest" in response.headers:
                raise InputError(
                    f"{self.uri} has a dynamic large object, whose listing does not tell when it changes. "
                    "Upload it as a static one."
                )
            is_md5 = "X-Static-Large-Object" not in response.headers
            chunks = response.stream(CHUNK_BYTES, decode_content=False)
            yield Stream(response.headers.get("ETag", "").strip('"'), is_md5, chunks)
        except HTTPError as error:
            raise self._unreachable(error) from None
        finally:
            response.close()
            response.release_conn()

    def _ask(
        self,
        method: str,
        key: str | None,
        *,
        query: dict[str, str] | None = None,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        preload: bool = True,
    ) -> BaseHTTPResponse:
        """One request; the answer is a success or a 404. Without `preload` its body is read by whoever asked."""
        path = quote(self._container) + ("" if key is None else f"/{quote(self._prefix + key)}")
        tail = f"{path}?{urlencode(query)}" if query else path

        def ask() -> BaseHTTPResponse:
            answer = self._sent(method, tail, body, headers or {}, preload=preload)
            if answer.status == 401 and self._settings.may_renew:  # a token lasts some hours
                answer.drain_conn()  # its connection is needed again
                self._access = sign_in(self._pool, self._settings)
                answer = self._sent(method, tail, body, headers or {}, preload=preload)
            if answer.status >= 300:
                answer.drain_conn()
            self._check(answer)
            return answer

        return again(ask)

    def _sent(
        self, method: str, tail: str, body: bytes | None, headers: dict[str, str], *, preload: bool
    ) -> BaseHTTPResponse:
        access = self._access
        sent = {**headers, "X-Auth-Token": access.token}
        url = f"{access.storage_url}/{tail}"
        try:
            return self._pool.request(method, url, body=body, headers=sent, preload_content=preload)
        except HTTPError as error:
            # no cause: the client's own text holds the request's URL
            raise self._unreachable(error) from None

    def _unreachable(self, error: HTTPError) -> DependencyError:
        return unreachable(self._access.storage_url, error, "the storage URL (OS_STORAGE_URL, or the catalogue's)")

    def _check(self, answer: BaseHTTPResponse) -> None:
        if answer.status in (401, 403):
            raise InputError(
                f"{self._access.storage_url} refuses the credentials for {self.uri} (HTTP {answer.status}). "
                "Set OS_AUTH_TOKEN, an application credential (OS_APPLICATION_CREDENTIAL_ID and _SECRET), or ST_USER "
                "and ST_KEY, that may read and write there."
            )
        if answer.status >= 500 or answer.status in (408, 422, 429):  # 422: it came damaged, send it again
            raise DependencyError(
                f"{self._access.storage_url} could not do it (HTTP {answer.status}): its disks are full or it is "
                "overloaded. Free space there, then run the command again: it goes on where it stopped."
            )
        if answer.status >= 300 and answer.status != 404:
            raise InputError(f"{self._access.storage_url} refuses what was asked of {self.uri} (HTTP {answer.status}).")
