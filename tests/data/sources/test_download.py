"""Downloads from a real HTTP server: resumed, checked, never half there; and what to do for the others."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from secondread.cli.main import app
from secondread.data.sources.download import Remote, download, instructions, of_kaggle, remotes, repositories
from secondread.data.sources.layouts import LAYOUTS
from secondread.data.sources.open import open_source
from secondread.errors import DependencyError, InputError, IntegrityError

CONTENT = bytes(range(256)) * 4096  # 1 MiB
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


class _Host(http.server.ThreadingHTTPServer):
    """Serves CONTENT. `cuts`: bytes after which each next answer is cut; `ranges`: whether it knows ranges."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.cuts: list[int] = []
        self.ranges = True
        self.asked: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Answer(http.server.BaseHTTPRequestHandler):
    server: _Host

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        self.server.asked.append(wanted)
        if "missing" in self.path:
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.server.ranges else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        cut = self.server.cuts.pop(0) if self.server.cuts else len(CONTENT)
        self.wfile.write(CONTENT[start : start + cut])
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def host() -> Iterator[_Host]:
    with _Host() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_file_is_fetched_once(host: _Host, tmp_path: Path) -> None:
    remote = Remote(f"{host.url}/a.npz", MD5, "CC BY 4.0")
    path = download(remote, tmp_path / "new" / "folder")
    assert path.read_bytes() == CONTENT
    assert download(remote, tmp_path / "new" / "folder") == path
    assert host.asked == [""]
    assert [entry.name for entry in path.parent.iterdir()] == ["a.npz"]


def test_a_cut_connection_is_resumed_where_it_stopped(host: _Host, tmp_path: Path) -> None:
    host.cuts = [300_000, 500_000]
    assert download(Remote(f"{host.url}/a.npz", MD5, ""), tmp_path).read_bytes() == CONTENT
    starts = [int(asked.removeprefix("bytes=").rstrip("-") or 0) for asked in host.asked]
    assert len(starts) == 3
    assert 0 == starts[0] < starts[1] <= 300_000 < starts[2] <= 800_000


def test_a_host_that_is_down_leaves_what_came_for_the_next_run(host: _Host, tmp_path: Path) -> None:
    host.cuts = [600_000] + [0] * 5
    remote = Remote(f"{host.url}/a.npz", MD5, "")
    with pytest.raises(DependencyError, match=r"goes on where it stopped") as caught:
        download(remote, tmp_path)
    assert "\n" not in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == [".a.npz.part"]
    came = (tmp_path / ".a.npz.part").stat().st_size
    assert 0 < came <= 600_000
    assert download(remote, tmp_path).read_bytes() == CONTENT
    assert host.asked[-1] == f"bytes={came}-"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.npz"]


def test_a_host_that_knows_no_ranges_sends_it_all_again(host: _Host, tmp_path: Path) -> None:
    host.ranges, host.cuts = False, [300_000]
    assert download(Remote(f"{host.url}/a.npz", MD5, ""), tmp_path).read_bytes() == CONTENT


def test_a_part_that_is_whole_already_is_taken(host: _Host, tmp_path: Path) -> None:
    (tmp_path / ".a.npz.part").write_bytes(CONTENT)
    assert download(Remote(f"{host.url}/a.npz", MD5, ""), tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("part", [b"", b"of another version"])
def test_a_wrong_checksum_is_refused_and_nothing_is_left(host: _Host, tmp_path: Path, part: bytes) -> None:
    if part:
        (tmp_path / ".a.npz.part").write_bytes(part)
    with pytest.raises(IntegrityError, match=r"is not the published file \(another md5\)"):
        download(Remote(f"{host.url}/a.npz", "0" * 32 if not part else MD5, ""), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_another_file_of_that_name_is_not_lost(host: _Host, tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"a\.npz is there, and is not the published file"):
        download(Remote(f"{host.url}/a.npz", MD5, ""), tmp_path)
    assert (tmp_path / "a.npz").read_bytes() == b"mine"


def test_what_is_not_there_and_a_folder_that_cannot_be_written(host: _Host, tmp_path: Path) -> None:
    with pytest.raises(DependencyError, match="answered 404"):
        download(Remote(f"{host.url}/missing.npz", MD5, ""), tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot write to"):
        download(Remote(f"{host.url}/a.npz", MD5, ""), tmp_path / "file" / "folder")


def test_the_published_addresses_and_checksums() -> None:
    found = remotes()
    assert len(found) == 12 * 4
    assert found["pneumoniamnist"].url.endswith("/10519652/files/pneumoniamnist.npz")
    assert found["pneumoniamnist"].md5 == "28209eda62fecd6e6a2d98b1501bb15f"
    assert found["octmnist_64"].file_name == "octmnist_64.npz"
    assert all(remote.url.startswith("https://") and len(remote.md5) == 32 for remote in found.values())


@pytest.mark.parametrize("name", sorted(LAYOUTS.keys() - repositories().keys()))
def test_what_to_do_for_a_set_that_is_not_fetched(name: str) -> None:
    publication = of_kaggle(name)
    text = "\n".join(instructions(publication, "no token is here"))
    assert text.startswith(f"{publication.title} was not fetched: no token is here.")
    for fact in (publication.title, publication.license, publication.citation, publication.size, publication.page):
        assert fact
        assert fact in text
    assert f"secondread data ingest {name}:" in text
    assert f"kagglehub.dataset_download('{publication.kaggle}')" in text


def test_the_command_fetches(host: _Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"a": Remote(f"{host.url}/a.npz", MD5, "CC BY 4.0")}
    monkeypatch.setattr("secondread.data.sources.download.remotes", lambda: own)
    result = CliRunner().invoke(app, ["data", "download", "a", "--to", str(tmp_path), "--json"])
    assert result.exit_code == 0
    assert (tmp_path / "a.npz").read_bytes() == CONTENT
    assert '"license": "CC BY 4.0"' in result.stdout


def test_a_name_that_is_none_is_told_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"'octmist' is no dataset known here\. Fetched: .*octmnist.* covid-qu-ex"):
        of_kaggle("octmist")
    with pytest.raises(InputError):
        open_source("octmist:films")
