"""From a URI to the right source, and one clear line for each way that goes wrong."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from secondread.data.pixels.decode import DecodeLimits
from secondread.data.sources.folder import FolderSource
from secondread.data.sources.manifest_csv import ManifestCsvSource
from secondread.data.sources.medmnist import MedMnistSource
from secondread.data.sources.open import open_source
from secondread.errors import InputError, TooLargeError


def test_a_folder_of_class_folders(films: Callable[..., Path]) -> None:
    source = open_source(str(films(oct_normal=2, oct_dme=1)))
    assert isinstance(source, FolderSource)
    assert source.taxonomy().names == ("oct-dme", "oct-normal")
    assert [image.name for image in source.images()] == ["oct-dme/000.png", "oct-normal/000.png", "oct-normal/001.png"]


def test_a_folder_with_a_manifest(shared_data: Path) -> None:
    source = open_source(str(shared_data / "nih-covid-3"), public_ids=True)
    assert isinstance(source, ManifestCsvSource)
    images = list(source.images())
    assert len(images) == 1113
    assert len({image.patient_id for image in images}) == 760
    assert source.taxonomy().names == ("cxr-covid", "cxr-normal", "cxr-pneumonia")


def test_a_medmnist_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.NPZ", train_images=np.zeros((2, 8, 8), np.uint8), train_labels=np.array([0, 1]))
    (tmp_path / "x.NPZ.npz").rename(tmp_path / "x.NPZ")
    assert isinstance(open_source(str(tmp_path / "x.NPZ")), MedMnistSource)


def test_phantoms_are_marked_synthetic() -> None:
    assert open_source("phantom://demo?images=9").synthetic


@pytest.mark.parametrize("kind", ["folder", "csv"])
def test_the_fingerprint_changes_with_a_byte_a_name_and_a_label(
    films: Callable[..., Path], film: Callable[[int], bytes], kind: str
) -> None:
    root = films(normal=3, covid=3)
    if kind == "csv":
        rows = [f"{path.relative_to(root)},{path.parent.name}" for path in sorted(root.rglob("*.png"))]
        (root / "manifest.csv").write_text("\n".join(["path,label", *rows]))

    def fingerprint() -> str:
        return open_source(str(root)).fingerprint()

    first = fingerprint()
    assert fingerprint() == first
    (root / "normal" / "000.png").write_bytes(film(99))
    second = fingerprint()
    assert second != first
    if kind == "csv":
        text = (root / "manifest.csv").read_text()
        (root / "manifest.csv").write_text(text.replace("001.png,normal", "001.png,covid"))
    else:
        (root / "normal" / "001.png").rename(root / "covid" / "moved.png")
    assert fingerprint() != second


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("{tmp}/none", r"source .*/none does not exist"),
        ("{tmp}/empty", r"/empty holds no images"),
        ("{tmp}/text.txt", r"is a file, but no \.npz"),
        ("{tmp}/bad.npz", r"bad\.npz is no \.npz file that can be read"),
        ("ftp://host/x", "of a kind that is not read"),
        ("phantom://demo?sizes=64", "sizes"),
        ("~nosuchuser1/films", r"source '~nosuchuser1/films' cannot be reached \(.*home directory\)"),
        ("{tmp}/loop", r"source .*/loop does not exist"),
        ("{tmp}/a\0b", r"source .*/a\\x00b does not exist"),
        ("{tmp}/" + "n" * 300, r"cannot be reached \(File name too long\)"),
        ("{tmp}/pipe", r"source .*/pipe is neither a folder nor a file"),
        ("{tmp}/M\udcfcller", r"source '.*/M\\xfcller' has a name that is no line of UTF-8\. Rename it"),
    ],
)
def test_what_is_no_source_is_refused(tmp_path: Path, uri: str, words: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "M\udcfcller").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "text.txt").write_text("x")
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(InputError, match=words) as caught:
        open_source(uri.format(tmp=tmp_path))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("kind", ["folder", "csv"])
def test_the_limit_on_bytes_is_passed_on(films: Callable[..., Path], kind: str) -> None:
    root = films(normal=1)
    if kind == "csv":
        (root / "manifest.csv").write_text("path,label\nnormal/000.png,normal\n")
    (image,) = open_source(str(root), limits=DecodeLimits(max_bytes=100)).images()
    with pytest.raises(TooLargeError):
        image.read()
