"""Images by address: from hosts that are allowed, at addresses that are, and from nowhere else."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from secondread.config.serve import ServeConfig
from secondread.errors import DependencyError, InputError, OverloadedError, TooLargeError
from secondread.model.session import Outputs
from secondread.serving.transformer.remote import RemoteImages

HERE = ("127.0.0.0/8",)


class Archive(BaseHTTPRequestHandler):
    """A picture archive with good and bad manners, by path."""

    image = b"an image"
    asked: list[tuple[str, str]] = []

    def do_GET(self) -> None:
        self.asked.append((self.headers["Host"], self.path))
        kind = self.path.partition("?")[0]
        if kind == "/elsewhere":
            self.send_response(302)
            self.send_header("Location", "http://169.254.169.254/latest/meta-data")
            self.end_headers()
        elif kind == "/missing":
            self.send_error(404)
        elif kind.startswith("/status/"):
            self.send_error(int(kind.removeprefix("/status/")))
        elif kind == "/missing-beside-late":
            self.server.begun.wait(30)
            self.send_error(404)
        elif kind in ("/endless", "/drip"):
            self.send_response(200)
            self.end_headers()
            try:
                while not self.server.stopped.wait(0.05 if kind == "/drip" else 0):
                    self.wfile.write(b"x" if kind == "/drip" else b"x" * 65536)
            except OSError:
                pass
        elif kind == "/slow":
            self.server.stopped.wait(0.4)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.image)
        elif kind == "/late":
            self.server.begun.set()
            self.server.late.wait(30)
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.image)))
            self.end_headers()
            self.wfile.write(self.image)
            self.rfile.read(1)  # until whoever asked closes the connection
            self.server.closed.set()
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.image) + (5 if kind == "/torn" else 0)))
            self.end_headers()
            self.wfile.write(self.image)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def archive() -> Iterator[ThreadingHTTPServer]:
    Archive.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Archive) as server:
        server.daemon_threads = True
        server.stopped, server.begun, server.late, server.closed = (threading.Event() for _ in range(4))
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.stopped.set()
        server.late.set()
        server.shutdown()
        thread.join()


def resolve_to(*addresses: str) -> Callable[[str, int], list[str]]:
    return lambda _host, _port: list(addresses)


def fetch(url: str, *, hold: Callable[[int], None] = lambda _: None, resolve: Any = None, **config: Any) -> bytes:
    given = {"url_hosts": ("pacs.test", "pacs.test:8443"), "url_networks": HERE, **config}
    remote = RemoteImages(ServeConfig(**given), resolve=resolve or resolve_to("127.0.0.1"))
    return remote.fetch(3, url, hold, remote.deadline())


def url_of(archive: ThreadingHTTPServer, path: str = "/film") -> tuple[str, str]:
    host = f"pacs.test:{archive.server_port}"
    return f"http://{host}{path}", host


def test_an_image_comes_from_an_allowed_host(archive: ThreadingHTTPServer) -> None:
    url, host = url_of(archive, "/film?study=1&frame=2")
    held: list[int] = []
    assert fetch(url, url_hosts=(host,), hold=held.append) == Archive.image
    assert sum(held) == len(Archive.image)
    assert Archive.asked == [(host, "/film?study=1&frame=2")]  # under its own name, at the address


@pytest.mark.parametrize(
    "url",
    [
        "http://other.test/film",
        "http://pacs.test:9000/film",  # another port of an allowed host
        "https://pacs.test.evil.test/film",
        "http://evil.test#pacs.test/film",
        "http://evil.test\\@pacs.test.evil.test/film",
    ],
)
def test_other_hosts_are_refused_before_they_are_looked_up(url: str) -> None:
    def never(_host: str, _port: int) -> list[str]:
        raise AssertionError("it was looked up")

    with pytest.raises(InputError, match=r"^image 3: (host|its url)"):
        fetch(url, resolve=never)


@pytest.mark.parametrize(
    "url",
    [
        *("", "film.png", "/etc/passwd", "file:///etc/passwd", "ftp://pacs.test/film", "gopher://pacs.test/"),
        *("http://user:secret@pacs.test/film", "http://", "http://[::1/film", "http://pacs.test:99999/film"),
        *("http://pacs.test/a b", "http://p\u0430cs.test/film", "http://pacs.test:80:80/"),
        *(f"http://pacs.test/a{character}b" for character in "\0\r\n\t\x1b\x7f"),
    ],
)
def test_what_is_no_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(InputError, match=r"^image 3: ") as caught:
        fetch(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.5", "172.16.3.4", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1"),  # noqa: S104
        *("224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fd00::1", "ff02::1", "::ffff:10.0.0.5"),
        *("::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1", "2001:0:7f00:1::1", "fe80::1%eth0"),
    ],
)
def test_private_addresses_are_refused_whatever_the_name(address: str) -> None:
    with pytest.raises(InputError, match="an address that is not fetched from"):
        fetch("http://pacs.test/film", resolve=resolve_to(address), url_networks=())


def test_one_private_address_among_public_ones_is_enough() -> None:
    with pytest.raises(InputError, match="an address that is not fetched from"):
        fetch("http://pacs.test/film", resolve=resolve_to("93.184.215.14", "10.0.0.5"), url_networks=())


def test_the_connection_goes_to_the_address_that_was_looked_at(archive: ThreadingHTTPServer) -> None:
    """A name that means another address a moment later changes nothing."""
    answers = iter([["127.0.0.1"]])
    url, host = url_of(archive)
    assert fetch(url, url_hosts=(host,), resolve=lambda _host, _port: next(answers)) == Archive.image
    assert next(answers, None) is None


def test_a_redirect_is_not_followed(archive: ThreadingHTTPServer) -> None:
    url, host = url_of(archive, "/elsewhere")
    with pytest.raises(InputError, match="sends elsewhere, which is not followed"):
        fetch(url, url_hosts=(host,))
    assert len(Archive.asked) == 1


def test_a_host_without_the_image_is_said(archive: ThreadingHTTPServer) -> None:
    url, host = url_of(archive, "/missing?patient=Doe")
    with pytest.raises(InputError, match="answered 404 instead of an image") as caught:
        fetch(url, url_hosts=(host,))
    assert "Doe" not in str(caught.value)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_archive_that_is_busy_or_broken_is_no_fault_of_the_request(
    archive: ThreadingHTTPServer, status: int
) -> None:
    url, host = url_of(archive, f"/status/{status}?patient=Doe")
    with pytest.raises(DependencyError, match=f"answered {status}: try again") as caught:
        fetch(url, url_hosts=(host,))
    assert "Doe" not in str(caught.value)


def test_an_image_above_the_limit_is_refused_while_it_comes(archive: ThreadingHTTPServer) -> None:
    url, host = url_of(archive, "/endless")
    with pytest.raises(TooLargeError, match=r"^image 3: it has more than 1000000 bytes"):
        fetch(url, url_hosts=(host,), max_request_bytes=1_000_000)


def test_bytes_are_accounted_for_while_they_come(archive: ThreadingHTTPServer) -> None:
    def full(_: int) -> None:
        raise OverloadedError("no room")

    url, host = url_of(archive, "/endless")
    with pytest.raises(OverloadedError, match="no room"):
        fetch(url, url_hosts=(host,), hold=full)


@pytest.mark.parametrize(("path", "why"), [("/drip", "took more than 0.5 s to come"), ("/torn", "does not answer")])
def test_what_does_not_come_whole_and_in_time_is_no_image(archive: ThreadingHTTPServer, path: str, why: str) -> None:
    url, host = url_of(archive, path)
    with pytest.raises(DependencyError, match=why):
        fetch(url, url_hosts=(host,), url_timeout_seconds=0.5)


def test_a_handshake_that_does_not_come_is_too_late() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"pacs.test:{silent.getsockname()[1]}"
        with pytest.raises(DependencyError, match=r"took more than 0\.5 s to come"):
            fetch(f"https://{host}/film", url_hosts=(host,), url_timeout_seconds=0.5)


def test_a_host_that_is_slow_to_connect_has_no_second_time_for_the_handshake(wait_until: Callable[..., None]) -> None:
    """The kernel asks a second later again where no place was left to wait for the server."""
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(1) as pool:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        stack.enter_context(socket.create_connection(silent.getsockname()))  # takes the only place
        host = f"pacs.test:{silent.getsockname()[1]}"
        started = time.monotonic()
        late = pool.submit(fetch, f"https://{host}/film", url_hosts=(host,), url_timeout_seconds=1.5)

        def asked() -> bool:
            return any(each.status == psutil.CONN_SYN_SENT for each in psutil.Process().connections())

        wait_until(asked, seconds=10, what="the connection to be asked for")
        for _ in range(2):
            stack.enter_context(silent.accept()[0])
        with pytest.raises(DependencyError, match=r"took more than 1\.5 s to come"):
            late.result()
        assert time.monotonic() - started < 2.4  # connecting took one of the 1.5 seconds; with as many again, 2.5


def test_a_host_that_is_down_or_unknown_is_a_503(archive: ThreadingHTTPServer) -> None:
    def unknown(_host: str, _port: int) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    with closing(socket.create_server(("127.0.0.1", 0))) as closed:
        port = closed.getsockname()[1]
    for resolve in (resolve_to("127.0.0.1"), unknown):
        with pytest.raises(DependencyError) as caught:
            fetch(f"http://pacs.test:{port}/film", url_hosts=(f"pacs.test:{port}",), resolve=resolve)
        assert caught.value.http_status == 503


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Key and certificate of pacs.test, which signs itself."""
    file = tmp_path / "pacs.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=pacs.test"]
    command += ["-addext", "subjectAltName=DNS:pacs.test", "-keyout", str(tmp_path / "key"), "-out", str(file)]
    subprocess.run(command, check=True, capture_output=True)
    file.write_text(file.read_text() + (tmp_path / "key").read_text())
    return file


def test_tls_is_with_the_name_at_the_address(archive: ThreadingHTTPServer, certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    archive.socket = context.wrap_socket(archive.socket, server_side=True)
    hosts = tuple(f"{name}.test:{archive.server_port}" for name in ("pacs", "other"))
    url = f"https://{hosts[0]}/film"
    assert fetch(url, url_hosts=hosts, url_authorities=str(certificate)) == Archive.image
    with pytest.raises(DependencyError, match=r"took more than 0\.5 s to come"):
        slow = f"https://{hosts[0]}/drip"
        fetch(slow, url_hosts=hosts, url_authorities=str(certificate), url_timeout_seconds=0.5)
    with pytest.raises(DependencyError, match="SSL"):  # a certificate that nobody vouches for
        fetch(url, url_hosts=hosts)
    with pytest.raises(DependencyError, match="SSL"):  # of another name
        fetch(f"https://{hosts[1]}/film", url_hosts=hosts, url_authorities=str(certificate))


def ask(server: Any, *urls: str) -> tuple[int, Any]:
    return post(server, {"name": "url", "datatype": "BYTES", "shape": [len(urls)], "data": urls})


def post(server: Any, tensor: dict[str, Any]) -> tuple[int, Any]:
    request = urllib.request.Request(
        f"{server.url}/v2/models/secondread/infer", json.dumps({"inputs": [tensor]}).encode()
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_by_default_a_server_fetches_nothing(served: Any, archive: ThreadingHTTPServer) -> None:
    status, answer = ask(served, url_of(archive)[0])
    assert (status, "'url' is off here" in answer["error"]) == (400, True)
    assert Archive.asked == []


def test_a_server_reads_what_it_fetches(
    start: Callable[..., Any],
    stop: Callable[[Any], int],
    archive: ThreadingHTTPServer,
    film: Callable[..., bytes],
    expected: Callable[..., Outputs],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Archive, "image", film(1))
    host = f"localhost:{archive.server_port}"
    server = start(url_hosts=[host], url_networks=["127.0.0.0/8", "::1/128"])
    try:
        status, answer = ask(server, f"http://{host}/one", f"http://{host}/two")
        assert status == 200
        outputs = {output["name"]: output["data"] for output in answer["outputs"]}
        bare = expected(film(1), film(1)).probabilities
        np.testing.assert_allclose(np.reshape(outputs["probabilities"], bare.shape), bare, atol=1e-6)
        status, answer = ask(server, f"http://{host}/one", f"http://{host}/missing")
        assert (status, answer["error"]) == (400, "image 1: localhost answered 404 instead of an image.")
    finally:
        stop(server)


def test_an_image_that_comes_after_its_request_has_failed_holds_no_bytes(
    start: Callable[..., Any],
    stop: Callable[[Any], int],
    archive: ThreadingHTTPServer,
    silent_predictor: str,
) -> None:
    host = f"localhost:{archive.server_port}"
    server = start(predictor=silent_predictor, url_hosts=[host], url_networks=["127.0.0.0/8", "::1/128"])
    try:
        status, answer = ask(server, f"http://{host}/missing-beside-late", f"http://{host}/late")
        assert (status, answer["error"]) == (400, "image 0: localhost answered 404 instead of an image.")
        archive.late.set()
        assert archive.closed.wait(30)
        assert metric(server, "secondread_bytes_in_flight") == 0
    finally:
        stop(server)


def test_all_images_of_a_request_have_one_deadline(
    start: Callable[..., Any], stop: Callable[[Any], int], archive: ThreadingHTTPServer, silent_predictor: str
) -> None:
    """Each of them is in time, and all together, eight at once, would have taken 1.6 s."""
    host = f"localhost:{archive.server_port}"
    allowed = {"url_hosts": [host], "url_networks": ["127.0.0.0/8", "::1/128"]}
    server = start(predictor=silent_predictor, url_timeout_seconds=1.0, **allowed)
    try:
        status, answer = ask(server, *[f"http://{host}/slow"] * 32)
        assert status == 503
        assert "the images of the request took more than 1 s to come" in answer["error"]
    finally:
        stop(server)


def test_an_archive_that_is_slow_takes_only_some_of_the_places(
    start: Callable[..., Any],
    stop: Callable[[Any], int],
    archive: ThreadingHTTPServer,
    silent_predictor: str,
    film: Callable[..., bytes],
) -> None:
    host = f"localhost:{archive.server_port}"
    allowed = {"url_hosts": [host], "url_networks": ["127.0.0.0/8", "::1/128"], "url_timeout_seconds": 30.0}
    server = start(
        predictor=silent_predictor, max_in_flight=2, max_url_in_flight=1, predictor_timeout_seconds=0.2, **allowed
    )
    try:
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(ask, server, f"http://{host}/late")
            assert archive.begun.wait(30)
            status, answer = ask(server, f"http://{host}/film")
            assert (status, answer["error"][:37]) == (503, "too many requests wait for images by ")
            image = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [base64.b64encode(film(1)).decode()]}
            status, answer = post(server, image)
            assert (status, "model server did not answer" in answer["error"]) == (503, True)  # it came as far as Triton
            archive.late.set()
            assert waiting.result()[0] == 400  # it is no image
    finally:
        archive.late.set()
        stop(server)


def metric(server: Any, name: str) -> float:
    """What a server says of itself, of all models and versions."""
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=30) as response:
        lines = response.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{name}{{"))
