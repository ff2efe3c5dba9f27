"""Archives become folders; what would harm is refused in one line, and nothing half-extracted is left."""

import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from secondread.data.sources.archive import ArchiveLimits, extracted
from secondread.data.sources.open import open_source
from secondread.data.sources.published import PublishedSource
from secondread.errors import InputError, TooLargeError


def _zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def _tar(path: Path, members: dict[str, bytes | tarfile.TarInfo], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as file:
        for name, data in members.items():
            info = data if isinstance(data, tarfile.TarInfo) else tarfile.TarInfo(name)
            if isinstance(data, bytes):
                info.size = len(data)
            file.addfile(info, io.BytesIO(data) if isinstance(data, bytes) else None)
    return path


def _special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def _films(film: Callable[[int], bytes]) -> dict[str, bytes]:
    return {"films/normal/a.png": film(1), "films/normal/b.png": film(2), "films/covid/c.png": film(3)}


@pytest.mark.parametrize("suffix", ["zip", "ZIP", "tar", "tar.gz", "tgz", "tar.bz2", "tar.xz"])
def test_an_archive_behaves_as_the_folder_would(tmp_path: Path, film: Callable[[int], bytes], suffix: str) -> None:
    members = _films(film)
    for name, data in members.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    path, leftovers = tmp_path / f"films.{suffix}", {"__MACOSX/films/._a.png": b"x", "films/.DS_Store": b"x"}
    if suffix.lower() == "zip":
        _zip(path, members | leftovers)
    else:
        modes = {"tar": "w", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}
        _tar(path, members | leftovers, modes.get(suffix, "w:gz"))
    folder, archive = open_source(str(tmp_path / "films")), open_source(str(path))
    assert archive.fingerprint() == folder.fingerprint()
    assert archive.taxonomy() == folder.taxonomy()
    assert [(i.name, i.label, i.read()) for i in archive.images()] == [
        (i.name, i.label, i.read()) for i in folder.images()
    ]
    assert archive.uri == str(path)  # opens the same again


def test_an_archive_of_a_public_dataset_is_recognised(tmp_path: Path, film: Callable[[int], bytes]) -> None:
    names = ("CNV/CNV-1-1.jpeg", "DME/DME-2-1.jpeg", "DRUSEN/DRUSEN-3-1.jpeg", "NORMAL/NORMAL-4-1.jpeg")
    path = _tar(tmp_path / "OCT2017.tar.gz", {f"OCT2017/train/{name}": film(n) for n, name in enumerate(names)})
    source = open_source(f"oct2017:{path}")
    assert isinstance(source, PublishedSource)
    assert isinstance(open_source(str(path)), PublishedSource)
    assert open_source(source.uri).fingerprint() == source.fingerprint()


def test_it_is_extracted_once_and_whatever_it_is_called(tmp_path: Path, film: Callable[[int], bytes]) -> None:
    first = _zip(tmp_path / "a.zip", _films(film))
    folder = extracted(first, tmp_path / "cache")
    inode = (folder / "films" / "normal" / "a.png").stat().st_ino
    first.rename(tmp_path / "b.zip")
    assert extracted(tmp_path / "b.zip", tmp_path / "cache") == folder
    assert (folder / "films" / "normal" / "a.png").stat().st_ino == inode


def _zip_link(path: Path) -> Path:
    info = zipfile.ZipInfo("normal/a.png")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(info, "/etc/passwd")
    return path


def _encrypted(path: Path) -> Path:
    data = bytearray(_zip(path, {"a.png": b"x"}).read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + at] |= 1  # the flag, in both headers
    path.write_bytes(bytes(data))
    return path


def _cut(path: Path) -> Path:
    data = _tar(path, {"normal/a.png": os.urandom(100_000)}).read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path


HARMFUL = {
    "zip path escape": (lambda p: _zip(p.with_suffix(".zip"), {"../evil.png": b"x"}), r"'\.\./evil\.png' leads out"),
    "zip deep escape": (lambda p: _zip(p.with_suffix(".zip"), {"a/../../evil.png": b"x"}), "leads out"),
    "zip absolute": (lambda p: _zip(p.with_suffix(".zip"), {"/evil.png": b"x"}), "leads out"),
    "zip backslashes": (lambda p: _zip(p.with_suffix(".zip"), {"a\\..\\..\\evil.png": b"x"}), "leads out"),
    "zip link": (lambda p: _zip_link(p.with_suffix(".zip")), "is a link, a device"),
    "zip encrypted": (lambda p: _encrypted(p.with_suffix(".zip")), "is encrypted"),
    "zip file below a file": (lambda p: _zip(p.with_suffix(".zip"), {"a": b"x", "a/b.png": b"x"}), "archive.zip"),
    "zip long name": (lambda p: _zip(p.with_suffix(".zip"), {"n" * 300 + ".png": b"x"}), "File name too long"),
    "tar path escape": (lambda p: _tar(p.with_suffix(".tar"), {"../evil.png": b"x"}), "leads out"),
    "tar absolute": (lambda p: _tar(p.with_suffix(".tar"), {"/evil.png": b"x"}), "leads out"),
    "tar symlink": (
        lambda p: _tar(p.with_suffix(".tar"), {"a": _special("a", tarfile.SYMTYPE, "/etc")}),
        "is a link, a device",
    ),
    "tar hard link": (
        lambda p: _tar(p.with_suffix(".tar"), {"a": _special("a", tarfile.LNKTYPE, "b")}),
        "is a link, a device",
    ),
    "tar device": (lambda p: _tar(p.with_suffix(".tar"), {"a": _special("a", tarfile.CHRTYPE)}), "is a link, a device"),
    "tar pipe": (lambda p: _tar(p.with_suffix(".tar"), {"a": _special("a", tarfile.FIFOTYPE)}), "is a link, a device"),
    "tar cut": (lambda p: _cut(p.with_suffix(".tar.gz")), "is damaged"),
}


@pytest.mark.parametrize(("make", "words"), HARMFUL.values(), ids=HARMFUL)
def test_what_would_harm_is_refused_in_one_line(tmp_path: Path, make: Callable[[Path], Path], words: str) -> None:
    (tmp_path / "in").mkdir()
    path = make(tmp_path / "in" / "archive")
    with pytest.raises(InputError, match=words) as caught:
        extracted(path, tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "cache").iterdir()) == []
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["cache", "in"]
    assert not Path("/evil.png").exists()


@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz"])
def test_a_name_that_is_there_twice_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"twice.{suffix}"
    if suffix == "zip":
        # of another name first, since zipfile warns
        data = _zip(path, {"a.png": b"1", "b.png": b"2"}).read_bytes()
        path.write_bytes(data.replace(b"b.png", b"a.png"))
    else:
        with tarfile.open(path, "w:gz" if suffix == "tar.gz" else "w") as file:
            for _ in range(2):
                file.addfile(tarfile.TarInfo("a.png"))
    with pytest.raises(InputError, match=r"has 'a\.png' twice"):
        extracted(path, tmp_path / "cache")


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (ArchiveLimits(max_members=2), "more than 2 members"),
        (ArchiveLimits(max_member_bytes=1000), r"'b\.png' makes it larger than is extracted"),
        (ArchiveLimits(max_total_bytes=3000), r"'c\.png' makes it larger"),
        (ArchiveLimits(ratio_from_bytes=0, max_ratio=5), r"'b\.png' makes it larger"),
    ],
    ids=["members", "one member", "total", "a bomb"],
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_each_limit(tmp_path: Path, limits: ArchiveLimits, words: str, kind: str) -> None:
    members = {"a.png": b"a" * 100, "b.png": b"b" * 2000, "c.png": b"c" * 2000}
    pack = _zip if kind == "zip" else _tar
    path = pack(tmp_path / ("a.zip" if kind == "zip" else "a.tar.gz"), members)
    assert extracted(path, tmp_path / "enough")
    with pytest.raises(TooLargeError, match=words):
        extracted(path, tmp_path / "cache", limits=limits)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_real_bomb_is_refused_by_what_comes_and_not_by_what_is_announced(tmp_path: Path) -> None:
    path = _zip(tmp_path / "bomb.zip", {"normal/a.png": bytes(100 << 20)})
    assert path.stat().st_size < 200_000
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02") + 24
    data[at : at + 4] = (1000).to_bytes(4, "little")  # the size in the directory, made small
    (tmp_path / "liar.zip").write_bytes(bytes(data))
    with pytest.raises(TooLargeError, match="a bomb"):
        extracted(path, tmp_path / "cache")
    with pytest.raises(InputError):  # cut at the size announced, and the checksum is then wrong
        extracted(tmp_path / "liar.zip", tmp_path / "cache")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 no zip"])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(InputError, match="is neither a zip nor a tar archive"):
        open_source(str(tmp_path / "a.zip"))
