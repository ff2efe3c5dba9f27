"""Sources in a real Swift, through its own API and through S3's: fetched once, whole, and into their folder alone."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote
from urllib.request import Request, urlopen

import numpy as np
import pytest

from secondread.atomic import sha256_bytes
from secondread.config.environment import Environment
from secondread.config.ingest import IngestConfig
from secondread.data.ingest import ingest
from secondread.data.sources.open import identify, is_local, open_source
from secondread.data.sources.remote import look_up
from secondread.data.store import mirror as mirroring
from secondread.data.store.open import open_object_store
from secondread.data.store.store import Listed, ObjectStore, Stream
from secondread.errors import DependencyError, InputError, IntegrityError, SecondReadError, TooLargeError


class Bucket:
    """An empty place in a store, and this process told how to reach it."""

    def __init__(self, uri: str, environment: Environment) -> None:
        self.uri, self.environment = uri, environment
        self.store: ObjectStore = open_object_store(uri, environment)

    def put(self, key: str, data: bytes) -> None:
        self.store.write(key, data, sha256=sha256_bytes(data))

    def put_films(self, film: Callable[[int], bytes], **classes: int) -> None:
        for number, (label, count) in enumerate(classes.items()):
            for index in range(count):
                self.put(f"{label}/{index:03d}.png", film(1000 * number + index))

    def remove(self, swift, key: str) -> None:
        self._ask(swift, "DELETE", key)

    def put_dynamic(self, swift, key: str) -> None:
        """A large object that is whatever has such a key with more behind it when it is read."""
        self.put(f"{key}-1", b"part")
        parts = self.uri.partition("://")[2] + f"/{quote(key)}-"
        self._ask(swift, "PUT", key, **{"X-Object-Manifest": parts, "Content-Length": "0"})

    def _ask(self, swift, method: str, key: str, **headers: str) -> None:
        storage_url, token = swift.sign_in()
        path = quote(self.uri.partition("://")[2] + "/" + key)
        with urlopen(Request(f"{storage_url}/{path}", method=method, headers={"X-Auth-Token": token, **headers})):
            pass


@pytest.fixture
def bucket(swift, store_root: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    for name, value in swift.variables().items():
        monkeypatch.setenv(name, value)
    return Bucket(store_root, Environment.read())


def content_of(bucket: Bucket) -> Path:
    (folder,) = (Environment.read().home / "sources" / "stores").iterdir()
    return folder / "content"


def one_line(error: pytest.ExceptionInfo[SecondReadError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert "testing" not in text
    return text


def test_a_prefix_is_the_folder_that_it_holds(bucket: Bucket, film: Callable[[int], bytes], tmp_path: Path) -> None:
    bucket.put_films(film, normal=3, covid=2)
    bucket.put("normal/a film+of Müller (1).png", film(77))
    bucket.put("normal/", b"")  # what some tools make for a folder
    source = open_source(bucket.uri)
    assert source.uri == bucket.uri
    names = {image.name: image.read() for image in source.images()}
    assert len(names) == 6
    assert names["normal/a film+of Müller (1).png"] == film(77)
    result = ingest(IngestConfig(source=bucket.uri), tmp_path / "ingested", patient_key=tmp_path / "key")
    assert dict(result.kept) == {"covid": 2, "normal": 4}
    assert result.fingerprint == source.fingerprint()
    assert json.loads((tmp_path / "ingested" / "source.json").read_text())["uri"] == bucket.uri


def test_a_dataset_keeps_its_name_and_an_archive_is_one_object(
    bucket: Bucket, film: Callable[[int], bytes], tmp_path: Path
) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for label in ("NORMAL", "DRUSEN", "CNV", "DME"):
            for index in range(2):
                data = film(hash(label) % 1000 + index, kind="JPEG")
                info = tarfile.TarInfo(f"OCT2017/train/{label}/{label}-{1000 + index}-1.jpeg")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    bucket.put("oct.tar", buffer.getvalue())
    bucket.put("oct.tar.md5", b"beside it")
    uri = f"oct2017:{bucket.uri}/oct.tar"
    source = open_source(uri)
    assert source.uri == uri
    assert source.public
    assert sorted(source.taxonomy().names) == ["oct-cnv", "oct-dme", "oct-drusen", "oct-normal"]
    assert identify(uri) == (uri, source.fingerprint())
    assert not is_local(uri)


def test_a_list_of_sources_in_a_store_names_what_lies_beside_it(bucket: Bucket, film: Callable[[int], bytes]) -> None:
    rng = np.random.default_rng(0)
    pixels = {f"{split}_images": rng.integers(0, 255, (6, 28, 28), np.uint8) for split in ("train", "val", "test")}
    labels = {f"{split}_labels": np.arange(6)[:, None] % 2 for split in ("train", "val", "test")}
    np.savez(buffer := io.BytesIO(), **pixels, **labels)
    bucket.put("sets/pneumoniamnist.npz", buffer.getvalue())
    bucket.put("sets/films/cxr-covid/1.png", film(1))
    listed = "sources: [{uri: pneumoniamnist.npz}, {uri: ./films}]"
    bucket.put("sets/all.yaml", listed.encode())
    source = open_source(f"{bucket.uri}/sets/all.yaml")
    assert len(list(source.images())) == 19
    before = source.fingerprint()
    assert identify(f"{bucket.uri}/sets/all.yaml") == (source.uri, before)
    bucket.put("sets/films/cxr-covid/1.png", film(2))
    del source  # which keeps what it reads as it is
    assert open_source(f"{bucket.uri}/sets/all.yaml").fingerprint() != before


@pytest.mark.parametrize("path", ["/etc", "../other", "~/films", "file:///etc", "a/../../b"])
def test_a_list_of_sources_in_a_store_reaches_nothing_of_this_machine(bucket: Bucket, path: str) -> None:
    bucket.put("all.yaml", f"sources: [{{uri: '{path}'}}]".encode())
    with pytest.raises(InputError, match="leads out of") as error:
        open_source(f"{bucket.uri}/all.yaml")
    one_line(error)


def test_only_what_changed_is_fetched_again_and_what_is_gone_disappears(
    swift, bucket: Bucket, film: Callable[[int], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put_films(film, normal=6, covid=6)
    first = open_source(bucket.uri).fingerprint()
    asked = watch(monkeypatch)
    assert open_source(bucket.uri).fingerprint() == first
    assert asked == []
    bucket.put("normal/000.png", film(500))
    bucket.put("normal/new/001.png", film(501))
    bucket.remove(swift, "covid/005.png")
    (content_of(bucket) / "normal" / "003.png").write_bytes(b"somebody wrote here")
    source = open_source(bucket.uri)
    assert sorted(asked) == ["normal/000.png", "normal/003.png", "normal/new/001.png"]
    found = {image.name: image.read() for image in source.images()}
    assert "covid/005.png" not in found
    assert len(found) == 12
    assert found["normal/000.png"] == film(500)
    assert found["normal/003.png"] == film(3)
    assert source.fingerprint() != first
    assert not list(content_of(bucket).parent.rglob("*partial*"))


def watch(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys that are fetched from now on."""
    asked: list[str] = []
    fetch = mirroring._fetch

    def counted(store: ObjectStore, item: Listed, *rest):
        asked.append(item.key)
        return fetch(store, item, *rest)

    monkeypatch.setattr(mirroring, "_fetch", counted)
    return asked


def test_a_submission_only_lists(bucket: Bucket, film: Callable[[int], bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.put_films(film, normal=2, covid=2)
    asked = watch(monkeypatch)
    uri, fingerprint = identify(f"{bucket.uri}/")
    assert asked == []
    assert uri == bucket.uri
    assert fingerprint == open_source(bucket.uri).fingerprint()


class Between:
    """A store, to which something happens when the nth object is about to come."""

    def __init__(self, store: ObjectStore, after: int, happens: Callable[[], None]) -> None:
        self._store, self._left, self._happens, self.uri = store, after, happens, store.uri

    def __getattr__(self, name: str):
        return getattr(self._store, name)

    @contextmanager
    def stream(self, key: str, offset: int) -> Iterator[Stream | None]:
        self._left -= 1
        if self._left == 0:
            self._happens()
        with self._store.stream(key, offset) as stream:
            yield stream


def test_after_the_server_was_killed_half_way_only_the_rest_is_fetched(
    swift, bucket: Bucket, film: Callable[[int], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put_films(film, normal=20, covid=20)
    objects = mirroring.list_objects(bucket.store)
    with pytest.raises(DependencyError, match="does not answer") as error:
        mirroring.mirror(Between(bucket.store, 20, swift.kill), objects, tmp_path / "mirror")
    one_line(error)
    assert not (tmp_path / "mirror" / mirroring.LISTING_FILE).exists()
    swift.start()
    asked = watch(monkeypatch)
    held = mirroring.mirror(bucket.store, mirroring.list_objects(bucket.store), tmp_path / "mirror")
    assert 20 <= len(asked) < 35
    assert {path.relative_to(held.content).as_posix(): path.read_bytes() for path in held.content.rglob("*.png")} == {
        item.key: bucket.store.read(item.key) for item in objects
    }


def test_a_large_object_goes_on_in_the_middle(bucket: Bucket, tmp_path: Path) -> None:
    data = np.random.default_rng(0).bytes(5 << 20)
    bucket.put("set.zip", data)
    sent: list[int] = []

    class Cut(Between):
        @contextmanager
        def stream(self, key: str, offset: int) -> Iterator[Stream | None]:
            with self._store.stream(key, offset) as stream:
                assert stream is not None

                def chunks() -> Iterator[bytes]:
                    for chunk in stream.chunks:
                        sent.append(len(chunk))
                        yield chunk
                        if sum(sent) > 2 << 20 and len(sent) < 4:
                            raise DependencyError("the connection broke.")

                yield Stream(stream.etag, stream.is_md5, chunks())

    held = mirroring.mirror(Cut(bucket.store, 0, print), mirroring.list_objects(bucket.store), tmp_path / "mirror")
    assert (held.content / "set.zip").read_bytes() == data
    assert sum(sent) == len(data)


def test_what_arrives_damaged_is_asked_for_again_and_never_kept(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("normal/1.png", b"the film itself")

    class Damages(Between):
        @contextmanager
        def stream(self, key: str, offset: int) -> Iterator[Stream | None]:
            with self._store.stream(key, offset) as stream:
                assert stream is not None
                yield Stream(stream.etag, stream.is_md5, (chunk.upper() for chunk in stream.chunks))

    objects = mirroring.list_objects(bucket.store)
    with pytest.raises(DependencyError, match=f"an object of {bucket.store.uri} arrived damaged") as error:
        mirroring.mirror(Damages(bucket.store, 0, print), objects, tmp_path / "mirror")
    assert "1.png" not in str(error.value)
    assert not list((tmp_path / "mirror").rglob("*.png"))


@pytest.mark.parametrize("change", ["changed", "was removed"])
def test_an_object_that_changes_in_between_is_said(
    swift, bucket: Bucket, film: Callable[[int], bytes], tmp_path: Path, change: str
) -> None:
    bucket.put_films(film, normal=1)

    def happens() -> None:
        if change == "changed":
            bucket.put("normal/000.png", film(9))
        else:
            bucket.remove(swift, "normal/000.png")

    objects = mirroring.list_objects(bucket.store)
    with pytest.raises(IntegrityError, match=f"an object of {bucket.store.uri} {change} while it was read") as error:
        mirroring.mirror(Between(bucket.store, 1, happens), objects, tmp_path / "mirror")
    one_line(error)
    assert "000.png" not in str(error.value), "a cluster keeps what a step says, and a key may hold a patient's name"


@pytest.mark.parametrize("store_root", ["swift"], indirect=True)
def test_a_dynamic_large_object_is_refused_without_its_name(swift, bucket: Bucket, tmp_path: Path) -> None:
    bucket.put_dynamic(swift, "doe^jane.zip")
    with pytest.raises(InputError, match=f"{bucket.store.uri} has a dynamic large object") as error:
        mirroring.mirror(bucket.store, mirroring.list_objects(bucket.store), tmp_path / "mirror")
    assert "jane" not in one_line(error)


def test_what_is_being_read_is_not_changed_under_the_reader(bucket: Bucket, film: Callable[[int], bytes]) -> None:
    bucket.put_films(film, normal=2, covid=2)
    reader = open_source(bucket.uri)
    assert open_source(bucket.uri).fingerprint() == reader.fingerprint()
    bucket.put("covid/000.png", film(9))
    with pytest.raises(DependencyError, match="another process is fetching"):
        open_source(bucket.uri)
    assert len([image.read() for image in reader.images()]) == 4
    before = reader.fingerprint()
    del reader
    assert open_source(bucket.uri).fingerprint() != before


def test_wrong_credentials_a_missing_bucket_and_an_empty_prefix_are_said(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="has no object") as error:
        open_source(bucket.uri)
    one_line(error)
    scheme = bucket.uri.partition("://")[0]
    with pytest.raises(InputError, match="'no-such-place' does not exist") as error:
        open_source(f"{scheme}://no-such-place/films")
    one_line(error)
    monkeypatch.setenv("ST_KEY", "my-wrong-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "my-wrong-key")
    with pytest.raises(InputError, match="refuses") as error:
        open_source(bucket.uri)
    assert "my-wrong-key" not in one_line(error)


def test_credentials_do_not_belong_into_a_uri() -> None:
    with pytest.raises(InputError, match="must hold no credentials") as error:
        open_source("s3://key:my-secret@bucket/films")
    assert "my-secret" not in str(error.value)


def test_what_was_fetched_is_no_source_is_said_with_its_uri(bucket: Bucket) -> None:
    bucket.put("readme.txt", b"no film")
    with pytest.raises(InputError, match=f"^{bucket.uri} holds no images in class folders"):
        open_source(bucket.uri)


class Names:
    """A store that lists anything."""

    uri = "s3://bucket/x"

    def __init__(self, *keys: str) -> None:
        self.keys = keys

    def objects(self, start: str, *, at_most: int) -> list[Listed]:  # noqa: ARG002 - as the protocol has it
        return [Listed(key, 7, "e") for key in self.keys][:at_most]


@pytest.mark.parametrize(
    "key", ["../../outside", "/etc/passwd", "a/../../b", "a//b", "a/./b", "a\0b", "a/" + "n" * 256, ".."]
)
def test_a_name_that_leads_out_of_the_folder_is_refused(key: str) -> None:
    with pytest.raises(InputError, match=r"can be no file in a folder \(2 of 3\)") as error:
        mirroring.list_objects(Names("fine.png", key, f"doe^jane/{key}"))
    one_line(error)
    assert "jane" not in str(error.value)


def test_a_name_that_is_file_and_folder_is_refused() -> None:
    with pytest.raises(InputError, match=r"whose keys are folders of others \(1 of 2\)") as error:
        mirroring.list_objects(Names("doe^jane/b", "doe^jane/b/c"))
    assert "jane" not in str(error.value)


def test_more_than_the_limits_is_refused_before_anything_comes() -> None:
    store = Names(*(f"{number}.png" for number in range(5)))
    with pytest.raises(TooLargeError, match="more than 4 objects"):
        mirroring.list_objects(store, limits=mirroring.MirrorLimits(max_objects=4))
    with pytest.raises(TooLargeError, match="35 bytes, more than the 34"):
        mirroring.list_objects(store, limits=mirroring.MirrorLimits(max_total_bytes=34))
    assert len(mirroring.list_objects(store, limits=mirroring.MirrorLimits(5, 35))) == 5


def test_a_process_that_was_killed_costs_what_was_on_its_way(
    bucket: Bucket, film: Callable[[int], bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bucket.put_films(film, normal=12, covid=12)
    script = (
        "import os, sys; from pathlib import Path; from secondread.data.store import mirror as m\n"
        "from secondread.config.environment import Environment; from secondread.data.sources.remote import look_up\n"
        "fetch, done = m._fetch, []\n"
        "def counted(*arguments):\n"
        "    done.append(1)\n"
        "    if len(done) > 12: os.kill(os.getpid(), 9)\n"
        "    return fetch(*arguments)\n"
        "m._fetch = counted\n"
        "look_up(sys.argv[1], Environment.read()).fetched(Path(sys.argv[2]))"
    )
    killed = subprocess.run(
        [sys.executable, "-c", script, bucket.uri, str(tmp_path)], env=dict(os.environ), check=False
    )
    assert killed.returncode == -9
    asked = watch(monkeypatch)
    path, _held = look_up(bucket.uri, bucket.environment).fetched(tmp_path)
    assert 12 <= len(asked) <= 21
    assert len(list(path.rglob("*.png"))) == 24


def test_what_tools_store_for_folders_is_no_file() -> None:
    class Markers(Names):
        def objects(self, start: str, *, at_most: int) -> list[Listed]:
            return [
                *(Listed(key, 0, "e") for key in ("", "a", "a/b", "c/", "a/empty.png")),
                *super().objects(start, at_most=at_most),
            ]

    found = mirroring.list_objects(Markers("a/b/film.png"))
    assert [item.key for item in found] == ["a/empty.png", "a/b/film.png"]
