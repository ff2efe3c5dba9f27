"""An application credential becomes a token and the account's URL, as the Identity API v3 documents the exchange."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from secondread.config.environment import Environment
from secondread.data.store.connection import pool
from secondread.data.store.keystone import Access, sign_in
from secondread.data.store.open import open_object_store
from secondread.errors import InputError


class Keystone(BaseHTTPRequestHandler):
    """Knows one credential, and an object store in each of two regions."""

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        credential = {"id": "reader", "secret": "right"}
        identity = {"methods": ["application_credential"], "application_credential": credential}
        known = self.path == "/v3/auth/tokens" and request == {"auth": {"identity": identity}}
        endpoints = [
            {"interface": interface, "region": region, "url": f"https://{interface}.{region}/v1/AUTH_1/"}
            for region in ("north", "south")
            for interface in ("internal", "public")
        ]
        catalog = [{"type": "compute", "endpoints": []}, {"type": "object-store", "endpoints": endpoints}]
        body = json.dumps({"token": {"catalog": catalog}}).encode() if known else b"{}"
        self.send_response(201 if known else 401)
        self.send_header("X-Subject-Token", "a-token")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def keystone() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Keystone) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v3"
        server.shutdown()
        thread.join()


def access(url: str, **variables: str) -> Access:
    known = {"OS_APPLICATION_CREDENTIAL_ID": "reader", "OS_APPLICATION_CREDENTIAL_SECRET": "right"}
    with pool() as connections:
        return sign_in(connections, Environment.read({"OS_AUTH_URL": url, **known, **variables}).swift)


def test_the_account_is_the_public_one_of_the_region(keystone: str) -> None:
    assert access(keystone) == Access("https://public.north/v1/AUTH_1", "a-token")
    assert access(keystone, OS_REGION_NAME="south").storage_url == "https://public.south/v1/AUTH_1"


def test_what_does_not_fit_is_said_without_the_secret(keystone: str) -> None:
    with pytest.raises(InputError, match="knows no object store in region west"):
        access(keystone, OS_REGION_NAME="west")
    with pytest.raises(InputError, match="refuses the credential") as error:
        access(keystone, OS_APPLICATION_CREDENTIAL_SECRET="my-wrong-secret")  # noqa: S106
    assert "my-wrong-secret" not in str(error.value)
    with pytest.raises(InputError, match="Set one of the three"):
        access("")


@pytest.mark.parametrize("variable", ["OS_STORAGE_URL", "OS_AUTH_URL", "ST_AUTH"])
def test_a_url_that_holds_a_password_is_refused_and_not_shown(variable: str) -> None:
    with pytest.raises(InputError, match=f"{variable} must hold no credentials") as error:
        access("", **{variable: "https://joe:hunter2@swift.example.org/v1"})
    assert "hunter2" not in str(error.value)


class Terse(BaseHTTPRequestHandler):
    """A container of 25 objects that lists ten at a time, however many it is asked for, as Ceph may."""

    def do_HEAD(self) -> None:
        self.send_response(204)
        self.end_headers()

    def do_GET(self) -> None:
        marker = parse_qs(urlsplit(self.path).query).get("marker", [""])[0]
        names = [f"films/{number:02d}.png" for number in range(25)]
        page = [{"name": name, "bytes": 7, "hash": "e"} for name in names if name > marker][:10]
        body = json.dumps(page).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


def test_a_listing_in_shorter_pages_than_asked_for_is_read_to_its_end() -> None:
    with HTTPServer(("127.0.0.1", 0), Terse) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        known = {"OS_STORAGE_URL": f"http://127.0.0.1:{server.server_port}/v1/a", "OS_AUTH_TOKEN": "a-token"}
        found = open_object_store("swift://container/films", Environment.read(known)).objects("", at_most=100)
        server.shutdown()
        thread.join()
    assert [item.key for item in found] == [f"{number:02d}.png" for number in range(25)]
