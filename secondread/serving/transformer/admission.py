"""Who is let in: so many requests and so many bytes at a time, and nobody who keeps the server waiting.

A request takes one of the places only once its bytes are there, so that a stalled upload holds none. What it holds in
the meantime is counted byte by byte as it comes, whatever it announced.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from secondread.errors import InputError, OverloadedError, SecondReadError


class SlowClientError(InputError):
    """The bytes of a request did not come in time."""

    http_status = 408


class ClientGoneError(SecondReadError):
    """The client went away before its request was complete; nobody reads the answer.

    Source: 499 is nginx's status for it, which is not an error of the server.
    """

    http_status = 499


@asynccontextmanager
async def in_time(seconds: float) -> AsyncIterator[None]:
    """Give a client so long to send its request.

    Args:
        seconds: for all of it.
    Raises:
        SlowClientError: the block took longer.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise SlowClientError(
            f"the request did not come within {seconds:g} s: send fewer or smaller images, or over a faster line."
        ) from error


class Admission:
    """Counts what is in flight on one server.

    Args:
        max_requests: answered at the same time.
        max_bytes: of all requests that have come, in part or whole, and are not answered.
    """

    def __init__(self, *, max_requests: int, max_bytes: int) -> None:
        self._max_requests, self._max_bytes = max_requests, max_bytes
        self._requests = self._bytes = 0
        self._lock = threading.Lock()  # requests come in from several threads

    @property
    def requests(self) -> int:
        """That are being answered."""
        return self._requests

    @property
    def bytes(self) -> int:
        """Of all requests that have come, in part or whole, and are not answered."""
        return self._bytes

    def check_place(self) -> None:
        """Refuse at once what could not be answered now, before it is read.

        Raises:
            OverloadedError: no place is free.
        """
        if self._requests >= self._max_requests:
            raise OverloadedError(f"{self._max_requests} requests are being answered already. Try again in a second.")

    def check_bytes(self, count: int) -> None:
        """Refuse bytes that there is no room for.

        Raises:
            OverloadedError: with them, all requests together would hold too much.
        """
        if self._bytes + count > self._max_bytes:
            raise OverloadedError(
                f"the requests in flight hold {self._bytes} bytes, and with these {count} it would be more than "
                f"{self._max_bytes}. Try again in a second."
            )

    @contextmanager
    def place(self) -> Iterator[None]:
        """One of the places, inside the block.

        Raises:
            OverloadedError: none is free.
        """
        with self._lock:
            self.check_place()
            self._requests += 1
        try:
            yield
        finally:
            with self._lock:
                self._requests -= 1

    @contextmanager
    def request(self) -> Iterator[HeldBytes]:
        """The account of one request's bytes; closed when the block ends."""
        held = HeldBytes(self)
        try:
            yield held
        finally:
            with self._lock:
                held.closed = True
                self._bytes -= held.count

    def _take(self, held: HeldBytes, count: int) -> None:
        with self._lock:
            if held.closed:  # a fetch that outlives its request: nobody would give these back
                raise ClientGoneError("the request has ended already.")
            self.check_bytes(count)
            self._bytes += count
            held.count += count


class HeldBytes:
    """What one request holds.

    Attributes:
        count: bytes.
        closed: whether the request has ended.
    """

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self.count = 0
        self.closed = False

    def expect(self, count: int) -> None:
        """Refuse at once a request that announces more bytes than there is room for; nothing is set aside for it.

        Raises:
            OverloadedError: there is no room.
        """
        self._admission.check_bytes(count)

    def add(self, count: int) -> None:
        """Account for bytes that came.

        Raises:
            OverloadedError: there is no room.
            ClientGoneError: the request has ended.
        """
        self._admission._take(self, count)
