"""OpenStack Swift as a store, over plain HTTP."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import quote, urlencode

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from secondread.config.environment import SwiftSettings
from secondread.data.store.connection import pool, unreachable
from secondread.data.store.keystone import Access, sign_in
from secondread.data.store.store import Stored, again
from secondread.errors import DependencyError, InputError

_SHA256 = "X-Object-Meta-Sha256"
_PAGE = 10_000  # names an answer; Swift's own limit


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
        names: list[str] = []
        marker = ""
        while True:
            query = {"prefix": self._prefix, "delimiter": "/", "format": "json", "limit": str(_PAGE), "marker": marker}
            page: list[dict[str, Any]] = json.loads(self._ask("GET", None, query=query).data or b"[]")
            names += [item["subdir"][len(self._prefix) :].rstrip("/") for item in page if "subdir" in item]
            if len(page) < _PAGE:
                return sorted(names)
            marker = page[-1].get("subdir") or page[-1]["name"]

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

    def _ask(
        self,
        method: str,
        key: str | None,
        *,
        query: dict[str, str] | None = None,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> BaseHTTPResponse:
        """One request; the answer is a success or a 404."""
        path = quote(self._container) + ("" if key is None else f"/{quote(self._prefix + key)}")
        tail = f"{path}?{urlencode(query)}" if query else path

        def ask() -> BaseHTTPResponse:
            answer = self._sent(method, tail, body, headers or {})
            if answer.status == 401 and self._settings.may_renew:  # a token lasts some hours
                self._access = sign_in(self._pool, self._settings)
                answer = self._sent(method, tail, body, headers or {})
            self._check(answer)
            return answer

        return again(ask)

    def _sent(self, method: str, tail: str, body: bytes | None, headers: dict[str, str]) -> BaseHTTPResponse:
        access = self._access
        sent = {**headers, "X-Auth-Token": access.token}
        try:
            return self._pool.request(method, f"{access.storage_url}/{tail}", body=body, headers=sent)
        except HTTPError as error:
            # no cause: the client's own text holds the request's URL
            raise unreachable(
                access.storage_url, error, "the storage URL (OS_STORAGE_URL, or the catalogue's)"
            ) from None

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
