"""Kaggle's datasets, fetched with kagglehub from a real HTTP server that stands in for Kaggle's API and its storage.

A variable of kagglehub makes it speak to http://localhost, and the usual one for a proxy leads to the server.
"""

import base64
import hashlib
import http.server
import io
import json
import os
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from secondread.cli.main import app
from secondread.data.sources.kaggle import MARKER, NotGiven, fetch_from_kaggle
from secondread.data.sources.layouts import LAYOUTS
from secondread.data.sources.open import open_source
from secondread.errors import DependencyError, InputError, IntegrityError

TOKEN = "KGAT_0123456789abcdef"  # noqa: S105 - of nobody
SIGNATURE = "signed-for-an-hour"
STORAGE = f"http://storage.invalid/archive.zip?{SIGNATURE}"
PNEUMONIA = LAYOUTS["chest-xray-pneumonia"].publication


class _Kaggle(http.server.ThreadingHTTPServer):
    """Has one dataset. `cuts`: bytes after which each next answer with the archive is cut."""

    def __init__(self, archive: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.archive = archive
        self.md5 = base64.b64encode(hashlib.md5(archive, usedforsecurity=False).digest()).decode()
        self.status = 200
        self.cuts: list[int] = []
        self.asked: list[tuple[str, str, str]] = []  # what, its Range, its Authorization


class _Answer(http.server.BaseHTTPRequestHandler):
    server: _Kaggle

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        called = self.path.rpartition("/")[2]
        self._note(called)
        known = f"{asked['ownerSlug']}/{asked['datasetSlug']}" == PNEUMONIA.kaggle
        if self.server.status != 200 or not known:
            self._json({"code": 403, "message": "no"}, self.server.status if known else 404)
        elif called == "GetDataset":
            self._json({"currentVersionNumber": 2}, 200)
        else:
            self.send_response(302)
            self.send_header("Location", STORAGE)
            self.end_headers()

    def do_GET(self) -> None:
        self._note("archive")
        archive, wanted = self.server.archive, self.headers.get("Range", "")
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        self.send_response(206 if start else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(archive) - start))
        self.send_header("x-goog-hash", f"crc32c=n03x6A==,md5={self.server.md5}")
        self.end_headers()
        # kagglehub asks for all, and then again for what it lacks: the first of the two answers is not read
        cut = self.server.cuts.pop(0) if self.server.cuts else len(archive)
        self.wfile.write(archive[start : start + cut])
        self.close_connection = True

    def _note(self, what: str) -> None:
        self.server.asked.append((what, self.headers.get("Range", ""), self.headers.get("Authorization", "")))

    def _json(self, document: object, status: int) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(autouse=True)
def someone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody without a token, and with nothing in the way to the server."""
    for name in list(os.environ):
        if name.upper().startswith(("KAGGLE", "NO_PROXY")) or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(home))
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # nobody listens there


@pytest.fixture
def kaggle(someone: None, film: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[_Kaggle]:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for number, label in enumerate(("NORMAL", "NORMAL", "PNEUMONIA", "PNEUMONIA")):
            name = f"person{number}_virus_{number}" if label == "PNEUMONIA" else f"IM-000{number}-0001"
            archive.writestr(f"chest_xray/train/{label}/{name}.jpeg", film(number))
        archive.writestr("padding.bin", os.urandom(5 << 20))  # kagglehub writes megabytes at a time
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    with _Kaggle(held.getvalue()) as server:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_dataset_is_fetched_once_and_can_be_read(kaggle: _Kaggle, tmp_path: Path) -> None:
    path = fetch_from_kaggle(PNEUMONIA, tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "chest-xray-pneumonia"
    assert _names(path) == [MARKER, "chest_xray", "padding.bin"]
    assert json.loads((path / MARKER).read_text()) == {"dataset": PNEUMONIA.kaggle, "version": "2"}
    labels = [image.label for image in open_source(f"chest-xray-pneumonia:{path}").images()]
    assert len(labels) == 4
    assert [what for what, _, _ in kaggle.asked] == ["GetDataset", "DownloadDataset", "archive"]
    kaggle.status = 500
    assert fetch_from_kaggle(PNEUMONIA, tmp_path / "new" / "folder") == path
    assert len(kaggle.asked) == 3
    assert _names(path.parent) == [path.name]  # nothing of the work is left
    assert _names(tmp_path / "home") == []  # nor in a cache of the user's


def test_the_token_goes_to_kaggle_and_to_nobody_else(
    kaggle: _Kaggle, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = fetch_from_kaggle(PNEUMONIA, tmp_path)
    assert [secret for _, _, secret in kaggle.asked] == [f"Bearer {TOKEN}"] * 2 + [""]
    out, said = capfd.readouterr()
    assert out == ""
    assert "100%" in said  # the bar
    written = b"".join(file.read_bytes() for file in path.rglob("*") if file.is_file())
    assert TOKEN not in said
    assert SIGNATURE not in said
    assert TOKEN.encode() not in written
    assert SIGNATURE.encode() not in written


def test_a_cut_connection_is_resumed_where_it_stopped(kaggle: _Kaggle, tmp_path: Path) -> None:
    whole = len(kaggle.archive)
    kaggle.cuts = [2 << 20, whole, 1 << 20]
    path = fetch_from_kaggle(PNEUMONIA, tmp_path)
    assert (path / "padding.bin").stat().st_size == 5 << 20
    starts = [int(asked.removeprefix("bytes=").rstrip("-")) for _, asked, _ in kaggle.asked if asked]
    assert starts == [2 << 20, 3 << 20]


def test_a_host_that_goes_down_leaves_what_came_for_the_next_run(kaggle: _Kaggle, tmp_path: Path) -> None:
    whole = len(kaggle.archive)
    kaggle.cuts = [3 << 20, whole, 0]
    with pytest.raises(DependencyError, match="goes on where it stopped") as caught:
        fetch_from_kaggle(PNEUMONIA, tmp_path)
    assert not isinstance(caught.value, NotGiven)
    assert "\n" not in str(caught.value)
    assert SIGNATURE not in str(caught.value)
    assert not (tmp_path / PNEUMONIA.name).exists()
    assert fetch_from_kaggle(PNEUMONIA, tmp_path).is_dir()
    assert kaggle.asked[-1][1] == f"bytes={3 << 20}-"
    assert _names(tmp_path) == [PNEUMONIA.name, "home"]


@pytest.mark.parametrize("kind", ["other bytes", "no archive"])
def test_what_is_damaged_is_refused_and_nothing_is_left(kaggle: _Kaggle, tmp_path: Path, kind: str) -> None:
    kaggle.archive = kaggle.archive[:-1] + b"!" if kind == "other bytes" else b"<html>"
    if kind == "no archive":
        kaggle.md5 = base64.b64encode(hashlib.md5(b"<html>", usedforsecurity=False).digest()).decode()
    with pytest.raises(IntegrityError, match=r"is damaged\. It was removed"):
        fetch_from_kaggle(PNEUMONIA, tmp_path)
    assert _names(tmp_path) == ["home"]


def test_what_is_there_already_is_not_lost(kaggle: _Kaggle, tmp_path: Path) -> None:
    mine = tmp_path / PNEUMONIA.name / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(InputError, match=r"holds other files"):
        fetch_from_kaggle(PNEUMONIA, tmp_path)
    assert mine.read_text() == "mine"
    assert kaggle.asked == []
    with pytest.raises(InputError, match="cannot write"):
        fetch_from_kaggle(PNEUMONIA, mine)


def _download(tmp_path: Path, *more: str) -> Result:
    return CliRunner().invoke(app, ["data", "download", PNEUMONIA.name, "--to", str(tmp_path / "to"), *more])


def _is_told_what_to_do(result: Result, why: str, tmp_path: Path) -> None:
    assert result.exit_code == 3
    assert result.stdout.startswith(f"{PNEUMONIA.title} was not fetched: {why}")
    assert f"kagglehub.dataset_download('{PNEUMONIA.kaggle}')" in result.stdout
    assert f"secondread data ingest {PNEUMONIA.name}:" in result.stdout
    assert not list((tmp_path / "to").glob("*"))
    assert not list((tmp_path / "to").glob(".*"))


def test_the_command_says_where_it_is_and_what_is_next(kaggle: _Kaggle, tmp_path: Path) -> None:
    result = _download(tmp_path, "--json")
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert told == {
        "name": PNEUMONIA.name,
        "fetched": True,
        "path": str(tmp_path / "to" / PNEUMONIA.name),
        "license": PNEUMONIA.license,
    }
    assert f"secondread data ingest {PNEUMONIA.name}:{told['path']}" in _download(tmp_path).stdout


def test_without_a_token_nobody_is_asked(kaggle: _Kaggle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    _is_told_what_to_do(_download(tmp_path), "no token of Kaggle is saved here.\n", tmp_path)
    (tmp_path / "home" / "kaggle.json").write_text(f'{{"key": "{TOKEN}"')
    told = _download(tmp_path)
    _is_told_what_to_do(told, "the token of Kaggle that is saved here cannot be read.\n", tmp_path)
    assert TOKEN not in told.output
    assert kaggle.asked == []


def test_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    _is_told_what_to_do(_download(tmp_path), "Kaggle cannot be reached (ProxyError).\n", tmp_path)


@pytest.mark.parametrize(
    ("status", "why"),
    [(401, "Kaggle refuses"), (403, "Kaggle refuses"), (503, "Kaggle answered with status 503.\n")],
)
def test_where_kaggle_says_no(kaggle: _Kaggle, tmp_path: Path, status: int, why: str) -> None:
    kaggle.status = status
    _is_told_what_to_do(_download(tmp_path), why, tmp_path)
    told = json.loads(_download(tmp_path, "--json").stdout)
    assert (told["fetched"], told["reason"].startswith(why.strip(".\n"))) == (False, True)
