"""Images without labels: of a folder every one, of a list those that it names, here and in a store."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secondread.config.environment import Environment
from secondread.data.sources.unlabelled import UnlabelledImages, identify_images, open_images
from secondread.data.store.open import open_object_store
from secondread.errors import DependencyError, InputError

Film = Callable[..., bytes]


@pytest.fixture
def folder(tmp_path: Path, film: Film, dicom: Callable[..., bytes]) -> Path:
    """What a picture archive exports: films in folders of any name, and other things."""
    root = tmp_path / "export"
    (root / "2024 ward").mkdir(parents=True)
    (root / ".thumbnails").mkdir()
    (root / "a.PNG").write_bytes(film(1))
    (root / "2024 ward" / "b.jpeg").write_bytes(film(2, kind="JPEG"))
    (root / "2024 ward" / "IM0001").write_bytes(dicom(np.arange(64, dtype=np.uint16).reshape(8, 8)))
    (root / "2024 ward" / "README").write_text("no image")
    (root / ".thumbnails" / "a.png").write_bytes(film(1))
    (root / "list.txt").write_text("no image")
    return root


@pytest.fixture
def in_store(store_root: str, swift: Any, film: Film, monkeypatch: pytest.MonkeyPatch) -> str:
    """URI of a prefix with three films, no folder of which is a class, and a list of two of them."""
    for name, value in swift.variables().items():
        monkeypatch.setenv(name, value)
    put(store_root, "ward/1.png", film(1))
    put(store_root, "2.png", film(2))
    put(store_root, "3.png", film(3))
    put(store_root, "list.csv", b"path,study\n3.png,a\nward/1.png,b\n3.png,c\n")
    return store_root


def put(uri: str, key: str, data: bytes) -> None:
    open_object_store(uri, Environment.read()).write(key, data, sha256=hashlib.sha256(data).hexdigest())


def names(found: UnlabelledImages) -> list[str]:
    return [image.name for image in found.images]


def mirrored() -> list[Path]:
    return list((Environment.read().home / "sources").rglob("*.png"))


def test_of_a_folder_every_image_is_read_whatever_its_folders_are_called(folder: Path, film: Film) -> None:
    found = open_images(str(folder))
    assert names(found) == ["2024 ward/IM0001", "2024 ward/b.jpeg", "a.PNG"]
    assert found.images[2].read() == film(1)
    assert names(open_images(f"file://{folder}")) == names(found)


def test_what_may_be_an_image_but_cannot_be_read_is_told_when_it_is_read(folder: Path) -> None:
    there = names(open_images(str(folder)))
    (folder / "gone.png").symlink_to(folder / "nothing.png")
    (folder / "circle.jpg").symlink_to(folder / "circle.jpg")
    (folder / "IM0002").symlink_to("/nothing")
    (folder / "IM0003").symlink_to("/proc/self/mem")  # a file whose first byte nobody can read, root neither
    found = open_images(str(folder))
    assert names(found) == sorted([*there, "IM0002", "IM0003", "circle.jpg", "gone.png"])
    assert identify_images(str(folder)) == identify_images(str(folder))
    for image in found.images:
        if image.name not in there:
            with pytest.raises(OSError, match=r"No such file|symbolic links|error"):
                image.read()


def test_what_is_left_out_is_counted_and_not_named(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    there = names(open_images(str(folder)))
    caplog.clear()
    (folder / "Doe").symlink_to(folder / "2024 ward")
    os.mkfifo(folder / "Doe.png")  # whoever opens it waits
    assert names(open_images(str(folder))) == there
    said = sorted(message.removeprefix(f"{folder}: ") for message in caplog.messages)
    assert [sentence.partition(".")[0] for sentence in said] == [
        "left out 1 link(s) or special file(s) with no file behind them",
        "left out 1 link(s) to folders, which are not followed here",
        "left out 2 file(s) that are no JPEG, PNG or DICOM",
    ]
    assert "Doe" not in caplog.text
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "films").symlink_to(folder)
    with pytest.raises(InputError, match=r"holds no image.* It left out 1 link\(s\) to folders"):
        open_images(str(tmp_path / "links"))


def test_a_name_that_is_no_utf_8_can_be_written_down(folder: Path, film: Film) -> None:
    Path(os.fsdecode(bytes(folder) + b"/M\xfcller.png")).write_bytes(film(4))
    assert "M\\xfcller.png" in names(open_images(str(folder)))


def test_a_list_names_images_beside_it_or_by_their_whole_path(folder: Path, tmp_path: Path, film: Film) -> None:
    (folder / "list.csv").write_text(f"study,path\n1,a.PNG\n\n2,{folder}/2024 ward/b.jpeg\n3,gone.png\n1,a.PNG\n")
    found = open_images(str(folder / "list.csv"))
    assert names(found) == ["a.PNG", f"{folder}/2024 ward/b.jpeg", "gone.png"]
    assert found.images[0].read() == film(1)
    with pytest.raises(FileNotFoundError):
        found.images[2].read()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"file\na.png\n", r"list\.csv has no column 'path'"),
        (b"", r"list\.csv has no column 'path'"),
        (b"path\n\xe9.png\n", r"list\.csv is not UTF-8"),
        (b"study,path\n1,a.png\n2\n", r"list\.csv, line 3: the column 'path' names no file"),
        (b"study,path\n1,\n", r"list\.csv, line 2: the column 'path' names no file"),
        (b"path\na\0.png\n", r"list\.csv, line 2: the column 'path' names no file"),
        (b"path\n" + b"x" * 200_000, r"list\.csv is no CSV .field larger"),
        (b"path\n", r"list\.csv holds no image"),
    ],
)
def test_a_list_that_cannot_be_read_is_told_by_its_line(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "list.csv").write_bytes(data)
    with pytest.raises(InputError, match=said):
        open_images(str(tmp_path / "list.csv"))


def test_a_place_with_no_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no image"):
        open_images(str(tmp_path))
    with pytest.raises(InputError, match=r"none\.csv does not exist"):
        open_images(str(tmp_path / "none.csv"))
    with pytest.raises(InputError, match="cannot be reached"):
        open_images("x" * 5000)


def test_another_image_another_fingerprint_and_state(folder: Path, film: Film) -> None:
    (folder / "list.csv").write_text("path\na.PNG\n")
    for place in (str(folder), str(folder / "list.csv")):
        uri, before = identify_images(place)
        state = open_images(place).state
        assert uri == place
        assert identify_images(place) == (uri, before)
        os.utime(folder / "a.PNG", ns=(1, 1))
        assert identify_images(place) == (uri, before), "the time alone changes no image"
        (folder / "a.PNG").write_bytes(film(5))
        assert identify_images(place)[1] != before
        assert open_images(place).state != state
        (folder / "a.PNG").write_bytes(film(1))
        assert identify_images(place)[1] == before
    (folder / "list.csv").write_text("path\n./a.PNG\n")
    assert identify_images(str(folder / "list.csv"))[1] != before, "the table names them otherwise"


def test_any_source_is_a_place_too() -> None:
    place = "phantom://cxr?images=3&size=32"
    assert len(open_images(place).images) == 3
    assert len(identify_images(place)[1]) == 64


def test_of_a_prefix_in_a_store_every_image_is_read(in_store: str, film: Film) -> None:
    uri, fingerprint = identify_images(f"{in_store}/")
    assert uri == in_store
    assert not mirrored(), "to name what is there nothing is fetched"
    found = open_images(in_store)
    assert names(found) == ["2.png", "3.png", "ward/1.png"]
    assert found.images[0].read() == film(2)
    put(in_store, "2.png", film(9))
    assert identify_images(in_store)[1] != fingerprint
    state = found.state
    with pytest.raises(DependencyError, match="reading what it was before it changed"):
        open_images(in_store)
    del found
    assert open_images(in_store).state != state


def test_of_a_list_in_a_store_only_what_it_names_is_fetched(in_store: str, film: Film) -> None:
    place = f"{in_store}/list.csv"
    _, fingerprint = identify_images(place)
    found = open_images(place)
    assert names(found) == ["3.png", "ward/1.png"]
    assert found.images[1].read() == film(1)
    assert sorted(path.name for path in mirrored()) == ["1.png", "3.png"]
    put(in_store, "2.png", film(9))
    assert identify_images(place)[1] == fingerprint
    put(in_store, "3.png", film(9))
    assert identify_images(place)[1] != fingerprint


def test_a_list_in_a_store_leads_to_no_file_of_this_machine(in_store: str) -> None:
    for name in ("/etc/hostname", "../../x.png"):
        put(in_store, "list.csv", f"path\n{name}\n".encode())
        with pytest.raises(InputError, match="names files that do not lie beside it") as refused:
            open_images(f"{in_store}/list.csv")
        assert name not in str(refused.value)
    with pytest.raises(InputError, match=r"none\.csv does not exist"):
        identify_images(f"{in_store}/none.csv")
