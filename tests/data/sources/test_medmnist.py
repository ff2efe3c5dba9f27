"""A MedMNIST file: what is read of it, and one clear line for anything that only looks like one."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from secondread.data.pixels.decode import decode
from secondread.data.sources.medmnist import MedMnistSource
from secondread.errors import InputError

IMAGES = np.arange(4 * 8 * 8, dtype=np.uint8).reshape(4, 8, 8)
LABELS = np.array([[0], [1], [1], [0]], np.uint8)


def save(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


def test_a_published_file(shared_data: Path) -> None:
    path = shared_data / "pneumoniamnist-28" / "pneumoniamnist-train-val.npz"
    source = MedMnistSource(path)
    assert source.taxonomy().names == ("cxr-normal", "cxr-pneumonia")
    images = list(source.images())
    with np.load(path) as arrays:
        assert len(images) == len(arrays["train_images"]) + len(arrays["val_images"]) == 5232
        np.testing.assert_array_equal(decode(images[0].read()), arrays["train_images"][0])
        first = ("cxr-normal", "cxr-pneumonia")[int(arrays["train_labels"][0, 0])]
    assert images[0].label == first


def test_every_split_is_read_and_none_has_patients(tmp_path: Path) -> None:
    path = save(
        tmp_path / "octmnist.npz",
        **{
            f"{split}_{kind}": array
            for split in ("train", "val", "test")
            for kind, array in (("images", IMAGES), ("labels", LABELS))
        },
    )
    images = list(MedMnistSource(path).images())
    assert [image.name.split("/")[0] for image in images] == ["train"] * 4 + ["val"] * 4 + ["test"] * 4
    assert {(image.patient_id, image.study_id) for image in images} == {("", "")}
    assert [image.label for image in images[:4]] == ["oct-cnv", "oct-dme", "oct-dme", "oct-cnv"]
    assert {image.modality for image in images} == {"oct"}


@pytest.mark.parametrize("labels", [LABELS, LABELS[:, 0], LABELS.astype(np.int64)], ids=["column", "flat", "int64"])
def test_a_set_that_is_not_known_has_numbered_classes(tmp_path: Path, labels: np.ndarray) -> None:
    source = MedMnistSource(save(tmp_path / "x.npz", train_images=IMAGES, train_labels=labels), modality="us")
    assert source.taxonomy().names == ("class-0", "class-1")
    assert [image.label for image in source.images()] == ["class-0", "class-1", "class-1", "class-0"]
    assert {info.modality for info in source.taxonomy().classes} == {"us"}


def test_colour_is_read_as_grey(tmp_path: Path) -> None:
    colour = np.repeat(IMAGES[..., None], 3, axis=-1)
    source = MedMnistSource(save(tmp_path / "x.npz", train_images=colour, train_labels=LABELS))
    np.testing.assert_array_equal(decode(next(source.images()).read()), IMAGES[0])


BAD = {
    "no arrays of MedMNIST": ({"x": np.zeros(3)}, "holds no arrays '<split>_images'"),
    "labels missing": ({"train_images": IMAGES}, r"has no array 'train_labels'"),
    "images missing": ({"val_labels": LABELS}, r"has no array 'val_images'"),
    "pickled images": ({"train_images": IMAGES.astype(object), "train_labels": LABELS}, "allow_pickle=False"),
    "pickled labels": ({"train_images": IMAGES, "train_labels": LABELS.astype(object)}, "allow_pickle=False"),
    "float images": ({"train_images": IMAGES / 255, "train_labels": LABELS}, r"float64 \(4, 8, 8\) images"),
    "one image": ({"train_images": IMAGES[0], "train_labels": LABELS}, r"uint8 \(8, 8\) images"),
    "3D": ({"train_images": np.zeros((4, 8, 8, 8), np.uint8), "train_labels": LABELS}, "3D sets are not read"),
    "no image": ({"train_images": IMAGES[:0], "train_labels": LABELS[:0]}, r"uint8 \(0, 8, 8\) images"),
    "a number": ({"train_images": np.uint8(3), "train_labels": LABELS}, r"uint8 \(\) images"),
    "multi-label": ({"train_images": IMAGES, "train_labels": np.zeros((4, 14), np.uint8)}, "Multi-label"),
    "a row of labels": ({"train_images": IMAGES, "train_labels": LABELS.T}, r"\(1, 4\) labels; expected"),
    "a label too few": ({"train_images": IMAGES, "train_labels": LABELS[:3]}, r"\(3, 1\) labels; expected"),
    "float labels": (
        {"train_images": IMAGES, "train_labels": LABELS / 1},
        "train_labels are float64, no whole numbers",
    ),
    "NaN labels": ({"train_images": IMAGES, "train_labels": LABELS * np.nan}, "no whole numbers"),
    "text labels": ({"train_images": IMAGES, "train_labels": LABELS.astype(str)}, "no whole numbers"),
    "negative": ({"train_images": IMAGES, "train_labels": LABELS.astype(int) - 1}, "has -1, none of 0 to 255"),
    "enormous": ({"train_images": IMAGES, "train_labels": LABELS + np.uint64(2**64 - 2)}, "has 18446744073709551614"),
}


@pytest.mark.parametrize(("arrays", "words"), BAD.values(), ids=BAD.keys())
def test_arrays_of_another_kind_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        MedMnistSource(save(tmp_path / "x.npz", **arrays))
    assert "x.npz" in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_label_that_the_named_set_does_not_have_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    path = save(tmp_path / "pneumoniamnist.npz", test_images=IMAGES, test_labels=LABELS * np.uint8(2))
    with pytest.raises(InputError, match=r"test_labels has 2, none of 0 to 1\. Is it this set"):
        MedMnistSource(path)


def _npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, IMAGES)
    return buffer.getvalue()


def _archive(content: bytes, name: str = "train_images.npy", **settings: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **settings) as file:
        file.writestr(name, content)
        file.writestr("train_labels.npy", _npy())
    return buffer.getvalue()


def _claims_to_be_huge() -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": (1 << 50, 28, 28)})
    return _archive(buffer.getvalue() + b"\0" * 100)


def _damaged() -> bytes:
    content = bytearray(_archive(np.random.default_rng(0).bytes(4000), compression=zipfile.ZIP_DEFLATED))
    content[100:2000] = b"\xff" * 1900
    return bytes(content)


def _encrypted() -> bytes:
    content = bytearray(_archive(_npy()))
    content[6] |= 1  # general purpose bit 0 of the local header, and of the central one
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no .npz file that can be read"),
        (b"PK\x03\x04 no zip", "no .npz file that can be read"),
        (b"\x80\x04\x95 a pickle", "no .npz file that can be read"),
        (_npy(), "is a single array"),
        (_archive(b"no array", "train_images"), r"uint8 \(n, height, width"),
        (_claims_to_be_huge(), "no .npz file that can be read"),
        (_damaged(), "no .npz file that can be read"),
        (_encrypted(), r"no .npz file that can be read \(.*encrypted"),
    ],
    ids=["empty", "no zip", "pickle", "npy", "no array inside", "huge", "damaged", "encrypted"],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        MedMnistSource(path)
    assert str(caught.value).isprintable()


def test_chestmnist_keeps_images_of_one_finding_or_none_and_counts_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING", logger="secondread")
    findings = np.zeros((4, 14), np.uint8)
    findings[0, 6] = findings[2, 1] = findings[3, 0] = findings[3, 13] = 1
    path = save(tmp_path / "chestmnist.npz", train_images=IMAGES, train_labels=findings)
    images = [(image.name, image.label) for image in MedMnistSource(path).images()]
    assert images == [
        ("train/000000.png", "cxr-pneumonia"),
        ("train/000001.png", "cxr-normal"),
        ("train/000002.png", "cxr-cardiomegaly"),
    ]
    assert "left out 1 image(s) with several findings" in caplog.text
    findings[0, 0] = 7
    with pytest.raises(InputError):
        MedMnistSource(save(tmp_path / "chestmnist.npz", train_images=IMAGES, train_labels=findings))


@pytest.mark.parametrize(
    ("name", "label", "modality"),
    [("bloodmnist_64", "blood-eosinophil", "blood"), ("organamnist", "ct-femur-left", "ct")],
)
def test_other_sets_have_their_own_class_names(tmp_path: Path, name: str, label: str, modality: str) -> None:
    path = save(tmp_path / f"{name}.npz", train_images=IMAGES, train_labels=LABELS)
    image = list(MedMnistSource(path).images())[1]
    assert (image.label, image.modality) == (label, modality)


def test_a_set_under_another_licence_says_so(tmp_path: Path) -> None:
    path = save(tmp_path / "dermamnist.npz", train_images=IMAGES, train_labels=LABELS)
    assert {image.license for image in MedMnistSource(path).images()} == {"CC BY-NC 4.0"}
