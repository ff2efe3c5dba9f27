"""A folder of class folders: what is an image of it, and that nothing else vanishes without a word."""

import logging
import os
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from secondread.config.ingest import IngestConfig
from secondread.data.ingest import ingest
from secondread.data.pixels.decode import DecodeLimits, decode
from secondread.data.sources.folder import FolderSource
from secondread.data.sources.folder_scan import scan_folder
from secondread.errors import InputError, TooLargeError


def names(root: Path) -> list[str]:
    return [image.name for image in FolderSource(root).images()]


def test_images_are_found_at_any_depth_whatever_the_case_of_their_ending(films: Callable[..., Path]) -> None:
    root = films(normal=1)
    (root / "normal" / "2019" / "may").mkdir(parents=True)
    (root / "normal" / "000.png").rename(root / "normal" / "2019" / "may" / "X.PNG")
    assert names(root) == ["normal/2019/may/X.PNG"]
    assert scan_folder(root).left_out == ()


@pytest.mark.parametrize("hidden", ["normal/.thumbs/q.png", "normal/a/.b/c/q.png", "normal/._q.png", ".git/q.png"])
def test_whatever_is_hidden_is_passed_over(films: Callable[..., Path], hidden: str) -> None:
    root = films(normal=1)
    (root / hidden).parent.mkdir(parents=True, exist_ok=True)
    (root / hidden).write_bytes((root / "normal" / "000.png").read_bytes())
    assert names(root) == ["normal/000.png"]
    assert scan_folder(root).left_out == ()


def test_a_hidden_folder_above_the_source_does_not_hide_it(films: Callable[..., Path], tmp_path: Path) -> None:
    root = films(normal=1).rename(tmp_path / ".cache")
    assert names(root) == ["normal/000.png"]


@pytest.mark.parametrize("name", ["IM0001", "1.2.840.113619.2.5"])
def test_dicom_needs_no_ending(shared_data: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / name).write_bytes((shared_data / "dicom" / "udacity-test1.dcm").read_bytes())
    (image,) = FolderSource(tmp_path).images()
    assert image.name == f"a/{name}"
    assert decode(image.read()).ndim == 2


@pytest.mark.parametrize(
    ("name", "content"), [("LICENSE", b"x" * 500), ("short", b"DICM"), ("a.tar", b"\0" * 128 + b"DICM")]
)
def test_no_other_file_without_a_known_ending_is_an_image(
    films: Callable[..., Path], name: str, content: bytes
) -> None:
    root = films(normal=1)
    (root / "normal" / name).write_bytes(content)
    assert names(root) == ["normal/000.png"]


def _two_texts(root: Path) -> None:
    (root / "normal" / "b.tif").write_text("x")
    (root / "normal" / "a.txt").write_text("x")


def _link_to_a_folder(root: Path) -> None:
    (root / "elsewhere").mkdir()
    (root / "elsewhere" / "a.png").write_bytes((root / "normal" / "000.png").read_bytes())
    (root / "elsewhere").rename(root.parent / "elsewhere")
    (root / "normal" / "more").symlink_to(root.parent / "elsewhere")


def _link_to_nothing(root: Path) -> None:
    (root / "normal" / "gone.png").symlink_to(root / "nothing.png")


def _loose(root: Path) -> None:
    (root / "loose.png").write_bytes((root / "normal" / "000.png").read_bytes())


LEFT_OUT = [
    (_two_texts, r"left out 2 file\(s\) that are no JPEG, PNG or DICOM, such as 'normal/a\.txt'\. Convert"),
    (_link_to_a_folder, r"left out 1 link\(s\) to folders.*such as 'normal/more'\. Put the folders"),
    (_link_to_nothing, r"left out 1 link\(s\).* with no file behind them, such as 'normal/gone\.png'\. Put the files"),
    (_loose, r"left out 1 image\(s\) outside any class folder, such as 'loose\.png'\. Move"),
    (lambda root: (root / "covid").mkdir(), r"left out 1 class folder\(s\) without an image, such as 'covid'\. Fill"),
]


@pytest.mark.parametrize(("add", "words"), LEFT_OUT, ids=["other files", "links", "broken links", "loose", "empty"])
def test_what_is_left_out_is_said_in_one_line(
    films: Callable[..., Path], caplog: pytest.LogCaptureFixture, add: Callable[[Path], None], words: str
) -> None:
    root = films(normal=1)
    add(root)
    caplog.set_level(logging.WARNING, logger="secondread")
    source = FolderSource(root)
    source.fingerprint()
    assert caplog.messages == []  # the pipeline opens a source twice and reads it once
    assert [image.name for image in source.images()] == ["normal/000.png"]
    (message,) = caplog.messages
    assert re.search(words, message)
    assert "\n" not in message


def test_a_class_folder_may_be_a_link(films: Callable[..., Path], tmp_path: Path) -> None:
    films(normal=2)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "cxr-normal").symlink_to(tmp_path / "films" / "normal")
    assert names(tmp_path / "in") == ["cxr-normal/000.png", "cxr-normal/001.png"]


def test_links_in_a_circle_end(films: Callable[..., Path]) -> None:
    root = films(normal=1)
    (root / "normal" / "up").symlink_to(root)
    (root / "normal" / "self.png").symlink_to(root / "normal" / "self.png")
    assert names(root) == ["normal/000.png"]


def test_images_without_class_folders_are_an_error_that_says_so(
    films: Callable[..., Path], film: Callable[[int], bytes]
) -> None:
    root = films(normal=0)
    (root / "one.png").write_bytes(film(1))
    with pytest.raises(
        InputError, match=r"no images in class folders.*1 image\(s\) outside any class.*'one\.png'"
    ) as e:
        FolderSource(root)
    assert "\n" not in str(e.value)


def test_a_folder_that_cannot_be_listed_is_refused(films: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    root, scandir = films(normal=1, covid=1), os.scandir

    def denied(path: str | os.PathLike[str]) -> object:
        if Path(path).name == "covid":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(InputError, match=r"/covid cannot be listed \(Permission denied\)\. Allow"):
        FolderSource(root)


@pytest.mark.parametrize("name", [b"M\xfcller.png", b"two\nlines.png"])
def test_a_name_of_any_bytes_is_ingested(films: Callable[..., Path], film: Callable[[int], bytes], name: bytes) -> None:
    root = films(normal=2)
    (root / "normal" / os.fsdecode(name)).write_bytes(film(71))
    (root / "normal" / os.fsdecode(b"broken-" + name)).write_bytes(b"no picture")
    result = ingest(IngestConfig(source=str(root)), root.parent / "out")
    assert result.kept == {"normal": 3}
    shown = name.decode("utf-8", "backslashreplace").replace("\n", "\\n")
    assert list(pd.read_parquet(root.parent / "out" / "rejected.parquet")["name"]) == [f"normal/broken-{shown}"]


def test_a_class_named_in_latin_1_has_a_name_that_can_be_stored(
    films: Callable[..., Path], film: Callable[[int], bytes]
) -> None:
    root = films(normal=1)
    (root / os.fsdecode(b"f\xfcnf")).mkdir()
    (root / os.fsdecode(b"f\xfcnf") / "a.png").write_bytes(film(1))
    assert FolderSource(root).taxonomy().names == (r"f\xfcnf", "normal")
    assert {image.label for image in FolderSource(root).images()} == {r"f\xfcnf", "normal"}


def test_a_file_above_the_limit_is_not_read(films: Callable[..., Path]) -> None:
    (image,) = FolderSource(films(normal=1), limits=DecodeLimits(max_bytes=100)).images()
    with pytest.raises(TooLargeError):
        image.read()
