"""From a URI to the right source, and one clear line for each way that goes wrong."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from secondread.data.decode import decode
from secondread.data.sources.folder import FolderSource
from secondread.data.sources.manifest_csv import ManifestCsvSource
from secondread.data.sources.medmnist import MedMnistSource
from secondread.data.sources.open import open_source
from secondread.errors import InputError


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


def test_a_medmnist_file(shared_data: Path) -> None:
    path = shared_data / "pneumoniamnist-28" / "pneumoniamnist-train-val.npz"
    source = open_source(str(path))
    assert isinstance(source, MedMnistSource)
    assert source.taxonomy().names == ("cxr-normal", "cxr-pneumonia")
    images = list(source.images())
    with np.load(path) as arrays:
        assert len(images) == len(arrays["train_images"]) + len(arrays["val_images"]) == 5232
        np.testing.assert_array_equal(decode(images[0].read()), arrays["train_images"][0])
        first = ("cxr-normal", "cxr-pneumonia")[int(arrays["train_labels"][0, 0])]
    assert images[0].label == first


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
        ("ftp://host/x", "of a kind that is not read yet"),
        ("phantom://demo?sizes=64", "sizes"),
    ],
)
def test_what_is_no_source_is_refused(tmp_path: Path, uri: str, words: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("x")
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(InputError, match=words):
        open_source(uri.format(tmp=tmp_path))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,class\na.png,x\n", r"manifest\.csv has no column 'label' \(it has path, class\)"),
        ("path,label\n", "has no rows"),
        ("path,label\na.png,\n", r"manifest\.csv row 2 has an empty 'label'"),
        ("path,label\na.png,x\nb.png,y\n", r"row 3: path 'b\.png' does not exist"),
        ("path,label\n../a.png,x\n", r"row 2: path '\.\./a\.png' leads out of"),
        ("path,label,age\na.png,x,old\n", r"row 2: age 'old' is no number"),
    ],
)
def test_a_bad_manifest_is_refused_with_file_and_row(
    tmp_path: Path, film: Callable[[int], bytes], text: str, words: str
) -> None:
    (tmp_path / "a.png").write_bytes(film(1))
    (tmp_path / "manifest.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        open_source(str(tmp_path))


@pytest.mark.parametrize(
    "arrays",
    [
        {"x": np.zeros(3)},
        {"train_images": np.zeros((4, 8, 8), np.float32), "train_labels": np.zeros((4, 1))},
        {"train_images": np.zeros((4, 8, 8), np.uint8), "train_labels": np.zeros((4, 14))},
    ],
    ids=["no arrays of MedMNIST", "not uint8", "several labels an image"],
)
def test_an_npz_of_another_kind_is_refused(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(InputError, match=r"x\.npz"):
        open_source(str(tmp_path / "x.npz"))
