"""Images by their address: fetched from hosts that are allowed, and from nowhere else.

A server that fetches what strangers name reaches what they cannot: the cloud's metadata service, the neighbours in the
cluster. So there is a list of hosts, empty by default; a name is resolved once, every address of it must be one that is
allowed, and the connection goes to that address, whatever the name means a moment later. Redirects are not followed.

Source: OWASP, "Server-Side Request Forgery Prevention Cheat Sheet".
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from urllib.parse import urlsplit

import urllib3
from urllib3.connection import HTTPConnection

from secondread.config.serve import ServeConfig
from secondread.errors import DependencyError, InputError, TooLargeError
from secondread.logging import get_logger

_PORTS = {"http": 80, "https": 443}
_CHUNK_BYTES = 1 << 16
_VISIBLE = re.compile(r"[!-~]+")  # ASCII without what ends a line, which would end the request's too
# Addresses within which another one is written: what is behind them is not what they seem.
_WRAPPING = [ipaddress.ip_network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Sequence[str]]

log = get_logger(__name__)


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name, as the system knows them.

    Raises:
        OSError: it has none.
    """
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class RemoteImages:
    """Fetches images.

    Args:
        config: which hosts and networks are allowed, and for how long and how much.
        resolve: gives the addresses of a name.
    """

    def __init__(self, config: ServeConfig, *, resolve: Resolve = resolve) -> None:
        self._hosts = {host.lower() for host in config.url_hosts}
        self._networks = [ipaddress.ip_network(text) for text in config.url_networks]
        self._max_bytes = config.max_request_bytes
        self._seconds = config.url_timeout_seconds
        self._authorities = config.url_authorities or None
        self._resolve = resolve

    @property
    def allowed(self) -> bool:
        """Whether any host is."""
        return bool(self._hosts)

    def deadline(self) -> float:
        """Until when the images of a request that is begun now must have come, on the monotonic clock."""
        return time.monotonic() + self._seconds

    def fetch(self, index: int, url: str, hold: Callable[[int], None], deadline: float) -> bytes:
        """Fetch one image.

        Args:
            index: of the image in its request, for errors.
            url: as it came.
            hold: accounts for bytes as they come.
            deadline: of its request, on the monotonic clock; see `deadline`. Looking the name up alone is not cut, but
                ends when the system's resolver gives up.
        Raises:
            InputError: the address is not allowed, or gives no image; the message names the index, and never the path,
                which may hold a patient's name or a token.
            TooLargeError: more bytes than one request may have.
            DependencyError: the host does not answer.
            OverloadedError: there is no room for the bytes.
        """
        scheme, host, port, target = self._parts(index, url)
        address, left = self._address(index, host, port), deadline - time.monotonic()
        if left <= 0:
            raise self.too_late(index)
        late = threading.Event()
        try:
            with (
                self._line(scheme, address, port, host, left, late) as line,
                contextlib.closing(HTTPConnection(address, port, timeout=left)) as connection,
            ):
                connection.sock = line
                named = f"[{host}]" if ":" in host else host
                named = named if port == _PORTS[scheme] else f"{named}:{port}"
                headers = {"Host": named, "Accept-Encoding": "identity"}
                connection.request("GET", target, headers=headers, preload_content=False, decode_content=False)
                with contextlib.closing(connection.getresponse()) as response:
                    data = self._read(index, host, response, hold)
            if late.is_set():  # what has no length ends where it is cut
                raise TimeoutError
            return data
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
            if late.is_set() or time.monotonic() >= deadline:
                raise self.too_late(index) from error
            why = f"does not answer ({type(error).__name__})"
            raise DependencyError(f"image {index}: {host} {why}: try again, or send the image itself.") from error

    def too_late(self, index: int) -> DependencyError:
        """What to say of an image that has not come by the deadline."""
        return DependencyError(
            f"image {index}: the images of the request took more than {self._seconds:g} s to come: try again with "
            "fewer, or send the images themselves."
        )

    @contextlib.contextmanager
    def _line(
        self, scheme: str, address: str, port: int, host: str, seconds: float, late: threading.Event
    ) -> Iterator[socket.socket]:
        """To the address, with TLS to whoever has a certificate of the name; cut, and `late` set, when time is up.

        Connecting, the handshake and each read may take that long; all together must not.
        """
        deadline = time.monotonic() + seconds
        plain = socket.create_connection((address, port), seconds)
        with plain, plain.dup() as same:  # TLS takes the first one over

            def cut() -> None:
                late.set()
                with contextlib.suppress(OSError):
                    same.shutdown(socket.SHUT_RDWR)

            watchdog = threading.Timer(deadline - time.monotonic(), cut)
            watchdog.daemon = True
            watchdog.start()
            try:
                if scheme == "https":
                    context = ssl.create_default_context(cafile=self._authorities)
                    yield context.wrap_socket(plain, server_hostname=host)
                else:
                    yield plain
            finally:
                watchdog.cancel()
                watchdog.join()

    def _parts(self, index: int, url: str) -> tuple[str, str, int, str]:
        """Scheme, host, port and what is asked for there."""
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError as error:
            raise InputError(f"image {index}: its url is none ({error}).") from error
        if parts.scheme not in _PORTS or not host or parts.username is not None or not _VISIBLE.fullmatch(url):
            raise InputError(f"image {index}: its url is none that is fetched: give https://host/path, without a user.")
        port = port or _PORTS[parts.scheme]
        usual = port == _PORTS[parts.scheme]
        if f"{host}:{port}" not in self._hosts and not (usual and host in self._hosts):
            raise InputError(
                f"image {index}: host '{host[:100]}' port {port} is not one that images are fetched from here: "
                "send the image itself, or ask whoever runs this server (serve.url_hosts)."
            )
        target = parts.path or "/"
        return parts.scheme, host, port, f"{target}?{parts.query}" if parts.query else target

    def _address(self, index: int, host: str, port: int) -> str:
        """The one to connect to. All that a name has must be allowed: which one is taken would be chance."""
        try:
            found = [ipaddress.ip_address(text.partition("%")[0]) for text in self._resolve(host, port)]
        except OSError as error:
            raise DependencyError(f"image {index}: {host} is not known ({error.strerror}): try again.") from error
        if refused := [address for address in found if not self._is_allowed(address)]:
            log.warning("%s is at %s, which is no address that images are fetched from", host, refused[0])
        if refused or not found:
            raise InputError(
                f"image {index}: {host} is at an address that is not fetched from: private ones are named in "
                "serve.url_networks."
            )
        return str(found[0])

    def _is_allowed(self, address: Address) -> bool:
        inner = getattr(address, "ipv4_mapped", None) or address
        if any(inner in network for network in self._networks if network.version == inner.version):
            return True
        wrapped = any(inner in network for network in _WRAPPING if network.version == inner.version)
        return inner.is_global and not inner.is_multicast and not wrapped

    def _read(self, index: int, host: str, response: urllib3.BaseHTTPResponse, hold: Callable[[int], None]) -> bytes:
        if 300 <= response.status < 400:
            raise InputError(f"image {index}: {host} sends elsewhere, which is not followed: give the last address.")
        if response.status == HTTPStatus.TOO_MANY_REQUESTS or response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise DependencyError(
                f"image {index}: {host} answered {response.status}: try again, or send the image itself."
            )
        if response.status != HTTPStatus.OK:
            raise InputError(f"image {index}: {host} answered {response.status} instead of an image.")
        data = bytearray()
        while part := response.read1(_CHUNK_BYTES, decode_content=False):
            hold(len(part))
            data += part
            if len(data) > self._max_bytes:
                raise TooLargeError(f"image {index}: it has more than {self._max_bytes} bytes: send a smaller one.")
        announced = response.headers.get("content-length", "")
        if announced.isdecimal() and len(data) != int(announced):
            raise http.client.IncompleteRead(b"", int(announced) - len(data))
        return bytes(data)
