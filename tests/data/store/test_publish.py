"""Dataset versions in a folder and in a real Swift, through its own API and through S3's."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from secondread.cli.main import main
from secondread.config.environment import Environment
from secondread.data.audit import report
from secondread.data.store import contents, local
from secondread.data.store.fetch import fetch
from secondread.data.store.open import open_store
from secondread.data.store.publish import publish, published
from secondread.data.store.store import Store
from secondread.data.versions.dataset import DatasetVersion
from secondread.errors import DependencyError, InputError, IntegrityError


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of some kilobytes lie in several parts, as large ones do."""
    monkeypatch.setattr(contents, "PART_BYTES", 4096)


def write_audit(folder: Path, name: str, *, page: bytes = b"<html>") -> Path:
    """An audit of the version of this name."""
    folder.mkdir()
    (folder / "audit.html").write_bytes(page)
    (folder / "audit.json").write_text(json.dumps({"name": name}))
    return folder


def one_line(error: pytest.ExceptionInfo[Exception], *secrets: str) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert not [secret for secret in secrets if secret in text]
    return text


def check_round_trip(version: DatasetVersion, store: Store, folder: Path) -> None:
    assert published(store) == []
    done = publish(version, store)
    assert done.sent > 5
    assert done.there == 0
    (listed,) = published(store)
    assert listed.content_hash == version.content_hash
    assert listed.summary["counts"] == version.counts
    again = publish(version, store)
    assert (again.sent, again.there, again.uri) == (0, done.sent, done.uri)
    fetched = fetch(store, version.name, folder)
    assert files_of(folder) == files_of(version.root)
    assert fetched.content_hash == version.content_hash
    assert not [path for path in folder.parent.iterdir() if path.name.startswith(f".{folder.name}")]


def test_a_folder_gives_back_what_was_published(version: DatasetVersion, tmp_path: Path) -> None:
    check_round_trip(version, open_store(f"file://{tmp_path}/kept", Environment.read({})), tmp_path / "fetched")


def test_only_what_a_version_consists_of_is_published_and_the_rest_is_named(
    version: DatasetVersion, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    known = set(files_of(version.root))
    write_audit(version.root / "audit", version.name)
    (version.root / "rejected.parquet").write_bytes(b"of the version")
    for name in ("patients.csv", "audit/notes.txt", "old/images-train.npy", ".hidden", "_SUCCESS.json"):
        (version.root / name).parent.mkdir(exist_ok=True)
        (version.root / name).write_bytes(b"private")
    store = open_store(str(tmp_path / "kept"), Environment.read({}))
    with caplog.at_level("WARNING", logger="secondread"):
        publish(version, store)
    (line,) = caplog.messages
    assert "no part of a dataset version: audit/notes.txt, old/images-train.npy, patients.csv in" in line
    assert not [name for name, data in files_of(tmp_path / "kept").items() if data == b"private"]
    fetch(store, version.content_hash, tmp_path / "fetched")
    assert set(files_of(tmp_path / "fetched")) == known | {"audit/audit.html", "audit/audit.json", "rejected.parquet"}


def test_the_audits_files_are_called_as_the_audit_calls_them() -> None:
    assert set(contents._AUDIT) == {report.HTML_FILE, report.JSON_FILE}


def test_an_audit_is_published_beside_its_version_and_is_no_part_of_its_name(
    store: Store, version: DatasetVersion, tmp_path: Path
) -> None:
    audit = write_audit(tmp_path / "audited", version.name)
    (audit / "_SUCCESS.json").write_text("{}")
    done = publish(version, store, audit=audit)
    assert done.sent == len(contents.describe(version).parts) + 2
    assert store.read(f"{version.content_hash}/audit/audit.html") == b"<html>"
    fetched = fetch(store, version.content_hash, tmp_path / "fetched")
    assert fetched.content_hash == version.content_hash
    assert files_of(fetched.root / "audit") == {
        name: (audit / name).read_bytes() for name in ("audit.html", "audit.json")
    }
    assert publish(version, store, audit=audit).sent == 0


def test_a_version_that_was_published_without_its_audit_gets_it_and_keeps_it(
    version: DatasetVersion, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(str(tmp_path / "kept"), Environment.read({}))
    first = publish(version, store)
    added = publish(version, store, audit=write_audit(tmp_path / "one", version.name, page=b"one"))
    assert (added.sent, added.there) == (2, first.sent)
    later = publish(version, store, audit=write_audit(tmp_path / "two", version.name, page=b"two"))
    assert (later.sent, later.there) == (0, first.sent + 2)
    assert caplog.messages == [f"version {version.name} was published with another audit, which it keeps"]
    fetch(store, version.content_hash, tmp_path / "fetched")
    assert (tmp_path / "fetched" / "audit" / "audit.html").read_bytes() == b"one"
    shutil.rmtree(tmp_path / "fetched" / "audit")
    assert files_of(tmp_path / "fetched") == files_of(version.root)


def test_nothing_of_an_audit_shows_whose_publishing_was_cut(version: DatasetVersion, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "kept"), Environment.read({}))
    first = publish(version, store)
    audit = write_audit(tmp_path / "audited", version.name)

    class Cut(type(store)):
        def write(self, key: str, data: bytes, *, sha256: str) -> None:
            if key.endswith(contents.COMPLETE):
                raise DependencyError("the store does not answer.")
            super().write(key, data, sha256=sha256)

    with pytest.raises(DependencyError):
        publish(version, Cut(store.root), audit=audit)
    fetch(store, version.content_hash, tmp_path / "fetched")
    assert files_of(tmp_path / "fetched") == files_of(version.root)
    assert publish(version, store, audit=audit).there == first.sent + 2


@pytest.mark.parametrize("where", ["in the version", "named"])
def test_an_audit_of_another_version_is_not_published(version: DatasetVersion, tmp_path: Path, where: str) -> None:
    folder = version.root / "audit" if where == "in the version" else tmp_path / "audited"
    write_audit(folder, "0123456789ab")
    store = open_store(str(tmp_path / "kept"), Environment.read({}))
    with pytest.raises(IntegrityError, match=f"is no audit of version {version.name}, but of 0123456789ab") as error:
        publish(version, store, audit=None if where == "in the version" else folder)
    one_line(error)
    assert published(store) == []


def test_swift_gives_back_what_was_published(swift, root: str, version: DatasetVersion, tmp_path: Path) -> None:
    check_round_trip(version, open_store(root, swift.environment()), tmp_path / "fetched")


@pytest.fixture(params=["folder", "s3", "swift"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store of each kind."""
    if request.param == "folder":
        return open_store(str(tmp_path / "kept"), Environment.read({}))
    swift = request.getfixturevalue("swift")
    name = f"ranges-{request.param}-{tmp_path.name.lower().replace('_', '-')}"[-60:].lstrip("-")
    swift.make_container(name)
    return open_store(f"{request.param}://{name}/some", swift.environment())


def test_a_few_bytes_of_an_object_are_read_alone(store: Store) -> None:
    data = bytes(range(256)) * 8
    store.write("a/b", data, sha256=hashlib.sha256(data).hexdigest())
    assert store.read_range("a/b", 300, 7) == data[300:307]
    assert store.read_range("a/b", 0, 1) == data[:1]
    assert store.read_range("a/b", 2040, 100) == data[2040:]
    assert store.read_range("a/missing", 0, 4) is None
    assert store.read("a/b") == data


class KillsServer:
    """A store whose server loses its power after some objects."""

    def __init__(self, store: Store, swift, after: int) -> None:
        self._store, self._swift, self._left, self.uri = store, swift, after, store.uri

    def __getattr__(self, name: str):
        return getattr(self._store, name)

    def write(self, key: str, data: bytes, *, sha256: str) -> None:
        self._left -= 1
        if self._left == 0:
            self._swift.kill()
        self._store.write(key, data, sha256=sha256)


def test_nothing_is_visible_of_a_publish_whose_server_was_killed_and_the_next_sends_the_rest(
    swift, root: str, version: DatasetVersion, tmp_path: Path
) -> None:
    store = open_store(root, swift.environment())
    with pytest.raises(DependencyError, match="does not answer") as error:
        publish(version, KillsServer(store, swift, after=12))
    one_line(error, "testing")
    swift.start()
    assert published(store) == []
    with pytest.raises(InputError, match="no version"):
        fetch(store, version.name, tmp_path / "fetched")
    done = publish(version, store)
    assert done.there >= 3
    assert done.sent >= 1
    assert done.sent + done.there == len(contents.describe(version).parts)
    fetch(store, version.content_hash, tmp_path / "fetched")
    assert files_of(tmp_path / "fetched") == files_of(version.root)


def test_a_fetch_goes_on_where_it_was_cut(version: DatasetVersion, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "kept"), Environment.read({}))
    publish(version, store)
    asked: list[str] = []

    class Breaks:
        def __init__(self, after: int) -> None:
            self.after, self.uri, self.folders = after, store.uri, store.folders

        def read(self, key: str) -> bytes | None:
            asked.append(key)
            if len(asked) > self.after:
                raise DependencyError("the store does not answer.")
            return store.read(key)

    with pytest.raises(DependencyError):
        fetch(Breaks(6), version.content_hash, tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()
    had, asked[:] = 5, []
    fetch(Breaks(10_000), version.content_hash, tmp_path / "fetched")
    assert len(asked) == 1 + len(contents.describe(version).parts) - had
    assert files_of(tmp_path / "fetched") == files_of(version.root)


def test_two_that_fetch_the_same_at_once_both_have_it_and_it_is_sent_once(
    version: DatasetVersion, tmp_path: Path
) -> None:
    store = open_store(str(tmp_path / "kept"), Environment.read({}))
    publish(version, store)
    asked: list[str] = []
    both = threading.Barrier(2)

    class Counts:
        uri, folders = store.uri, store.folders

        def read(self, key: str) -> bytes | None:
            if key.endswith(contents.COMPLETE):
                both.wait(timeout=30)  # neither has begun to fetch before the other has looked
            asked.append(key)
            return store.read(key)

    with ThreadPoolExecutor(2) as threads:
        calls = [threads.submit(fetch, Counts(), version.content_hash, tmp_path / "fetched") for _ in range(2)]
        assert [call.result().content_hash for call in calls] == [version.content_hash] * 2
    assert len(asked) == 2 + len(contents.describe(version).parts)
    assert files_of(tmp_path / "fetched") == files_of(version.root)


def test_wrong_credentials_are_said_in_one_line(swift, root: str) -> None:
    wrong = swift.environment(ST_KEY="my-wrong-key", AWS_SECRET_ACCESS_KEY="my-wrong-key")  # noqa: S106
    with pytest.raises(InputError, match="refuses") as error:
        open_store(root, wrong)
    one_line(error, "my-wrong-key")
    assert "my-wrong-key" not in repr(wrong)


def test_a_token_of_ones_own_opens_swift_until_it_is_refused(swift, version: DatasetVersion) -> None:
    swift.make_container("by-token")
    storage_url, token = swift.sign_in()
    publish(
        version,
        open_store("swift://by-token", Environment.read({"OS_STORAGE_URL": storage_url, "OS_AUTH_TOKEN": token})),
    )
    with pytest.raises(InputError, match="refuses the credentials") as error:
        open_store(
            "swift://by-token", Environment.read({"OS_STORAGE_URL": storage_url, "OS_AUTH_TOKEN": "stale-token"})
        )
    one_line(error, "stale-token")


@pytest.mark.parametrize("scheme", ["s3", "swift"])
def test_a_bucket_that_does_not_exist_is_said_in_one_line(swift, scheme: str) -> None:
    with pytest.raises(InputError, match="'no-such-place' does not exist") as error:
        open_store(f"{scheme}://no-such-place/x", swift.environment())
    one_line(error, "testing")


@pytest.mark.parametrize("scheme", ["s3", "swift"])
def test_a_host_that_does_not_answer_is_said_in_one_line(scheme: str) -> None:
    nowhere = "http://127.0.0.1:9"  # the port `discard`, which nothing listens on
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "my-key", "ST_USER": "a", "ST_KEY": "my-key"}
    environment = Environment.read({"SECONDREAD_S3_ENDPOINT": nowhere, "ST_AUTH": nowhere, **keys})
    with pytest.raises(DependencyError, match="does not answer") as error:
        open_store(f"{scheme}://bucket/x", environment)
    one_line(error, "my-key")


def test_a_store_whose_disk_is_full_says_so_and_shows_nothing(swift, root: str, version: DatasetVersion) -> None:
    store = open_store(root, swift.environment())
    swift.kill()
    swift.start(must_be_free_percent=100)
    try:
        with pytest.raises(DependencyError, match="disks are full") as error:
            publish(version, store)
        one_line(error, "testing")
    finally:
        swift.kill()
        swift.start()
    assert published(store) == []
    assert publish(version, store).sent > 5


def test_a_full_disk_of_ones_own_is_said_in_one_line(version: DatasetVersion, tmp_path: Path) -> None:
    publish(version, open_store(str(tmp_path / "kept"), Environment.read({})))
    limit = 2048  # bytes a file may have, which is less than a part

    def limited(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "secondread", "data", *arguments]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=60,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        )

    fetched = limited("fetch", f"{tmp_path}/kept/{version.name}", str(tmp_path / "fetched"))
    assert fetched.returncode == 2, fetched.stderr
    assert len(fetched.stderr.splitlines()) == 1
    assert "File too large" in fetched.stderr
    assert not (tmp_path / "fetched").exists()
    kept = limited("publish", str(version.root), str(tmp_path / "other"))
    assert kept.returncode == 2
    assert "File too large" in kept.stderr
    assert published(open_store(str(tmp_path / "other"), Environment.read({}))) == []


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, DependencyError), (errno.EACCES, InputError)])
def test_a_full_disk_may_have_room_later_and_a_forbidden_folder_stays_so(
    version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    def fail(path: Path) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(local, "atomic_file", fail)
    with pytest.raises(kind, match="cannot write") as error:
        publish(version, open_store(str(tmp_path / "kept"), Environment.read({})))
    assert type(error.value) is kind
    one_line(error)


def test_a_damaged_object_is_never_fetched(version: DatasetVersion, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "kept"), Environment.read({}))
    publish(version, store)
    part = contents.describe(version).parts[-1]
    (tmp_path / "kept" / version.content_hash / part.key).write_bytes(b"x" * part.size)
    with pytest.raises(IntegrityError, match="damaged"):
        fetch(store, version.content_hash, tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "a/../../outside", ""])
def test_a_record_that_names_a_file_outside_is_refused(version: DatasetVersion, tmp_path: Path, name: str) -> None:
    store = open_store(str(tmp_path / "kept"), Environment.read({}))
    publish(version, store)
    record = tmp_path / "kept" / version.content_hash / contents.COMPLETE
    document = json.loads(record.read_bytes())
    document["parts"][0]["file"] = name
    record.write_text(json.dumps(document))
    with pytest.raises(IntegrityError, match="no record that this library reads"):
        fetch(store, version.content_hash, tmp_path / "fetched")


def test_the_commands_publish_list_and_fetch(
    swift, root: str, version: DatasetVersion, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in swift.variables().items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> dict:
        monkeypatch.setattr(sys, "argv", ["secondread", "data", *arguments, "--json"])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 0
        return json.loads(capsys.readouterr().out)

    done = run("publish", str(version.root), root)
    assert done["uri"] == f"{root}/{version.content_hash}"
    assert [item["content_hash"] for item in run("list", root)["versions"]] == [version.content_hash]
    assert run("fetch", done["uri"], str(tmp_path / "fetched"))["content_hash"] == version.content_hash


@pytest.mark.parametrize("uri", ["ftp://host/x", "s3://", "swift:///x"])
def test_a_uri_of_no_store_is_refused(uri: str) -> None:
    with pytest.raises(InputError, match="names no store"):
        open_store(uri, Environment.read({}))
