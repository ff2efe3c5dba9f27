"""Films saved again at ingest: joined under one label, left out under two, on phantoms and on real sets."""

import csv
import io
import shutil
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from secondread.config.ingest import IngestConfig
from secondread.data.cleaning import near_duplicates
from secondread.data.cleaning.detail import detail_hash
from secondread.data.cleaning.near_duplicates import cluster_names, find_near_duplicates
from secondread.data.ingest import ingest
from secondread.data.manifest import read_manifest, read_rejected
from secondread.data.pixels.decode import decode
from secondread.data.sources.open import open_source


def saved_again(data: bytes) -> bytes:
    """At 40 % of the size, and as a JPEG of quality 50."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        small = image.resize((round(image.width * 0.4), round(image.height * 0.4)), Image.Resampling.BICUBIC)
        small.save(buffer, "JPEG", quality=50)
    return buffer.getvalue()


@pytest.fixture
def phantom_films(tmp_path: Path) -> Path:
    """40 films of as many phantoms, 20 a class; names `<number>.png`."""
    root, seen = tmp_path / "in", {}
    for image in open_source("phantom://cxr?images=300&size=256&classes=cxr-normal,cxr-covid&wrong_labels=0").images():
        seen.setdefault((image.label, image.patient_id), image)
    for label in ("cxr-normal", "cxr-covid"):
        (root / label).mkdir(parents=True)
        chosen = [image for (found, _), image in seen.items() if found == label][:20]
        for number, image in enumerate(chosen):
            (root / label / f"{number}.png").write_bytes(image.read())
    return root


def run(root: Path, output: Path, **settings: object) -> tuple[pd.DataFrame, pd.DataFrame]:
    ingest(IngestConfig(source=str(root), public_ids=True, **settings), output)
    return read_manifest(output / "manifest.parquet"), read_rejected(output / "rejected.parquet")


def test_different_phantoms_are_not_joined(phantom_films: Path, tmp_path: Path) -> None:
    rows, rejected = run(phantom_films, tmp_path / "out")
    assert len(rows) == 40
    assert set(rows["cluster_id"]) == {""}
    assert rejected.empty


def test_a_film_saved_again_under_its_label_is_kept_in_one_cluster(phantom_films: Path, tmp_path: Path) -> None:
    folder = phantom_films / "cxr-normal"
    (folder / "again.jpg").write_bytes(saved_again((folder / "3.png").read_bytes()))
    rows, rejected = run(phantom_films, tmp_path / "out")
    joined = rows[rows["cluster_id"] != ""]
    assert rejected.empty
    assert len(joined) == 2
    assert joined["cluster_id"].nunique() == 1
    assert sorted(joined["width"]) == [102, 256]


def test_a_film_saved_again_under_another_label_is_left_out_of_both(phantom_films: Path, tmp_path: Path) -> None:
    data = (phantom_films / "cxr-normal" / "3.png").read_bytes()
    (phantom_films / "cxr-covid" / "again.jpg").write_bytes(saved_again(data))
    rows, rejected = run(phantom_films, tmp_path / "out")
    assert len(rows) == 39
    assert set(rejected["name"]) == {"cxr-covid/again.jpg", "cxr-normal/3.png"}
    assert set(rejected["reason"]) == {"nearly the same picture stands under two labels (cxr-covid, cxr-normal)."}
    assert rejected["cluster_id"].nunique() == 1


def test_a_film_saved_again_goes_with_those_that_contradict_each_other(phantom_films: Path, tmp_path: Path) -> None:
    data = (phantom_films / "cxr-normal" / "3.png").read_bytes()
    (phantom_films / "cxr-covid" / "same.png").write_bytes(data)
    (phantom_films / "cxr-normal" / "again.jpg").write_bytes(saved_again(data))
    rows, rejected = run(phantom_films, tmp_path / "out")
    assert len(rows) == 39
    assert dict(zip(rejected["name"], rejected["reason"], strict=True)) == {
        "cxr-covid/same.png": "stands under two labels (cxr-covid, cxr-normal).",
        "cxr-normal/3.png": "stands under two labels (cxr-covid, cxr-normal).",
        "cxr-normal/again.jpg": "nearly the same picture stands under two labels (cxr-covid, cxr-normal).",
    }


def test_contradictions_may_stay_but_stay_together(phantom_films: Path, tmp_path: Path) -> None:
    data = (phantom_films / "cxr-normal" / "3.png").read_bytes()
    (phantom_films / "cxr-covid" / "again.jpg").write_bytes(saved_again(data))
    rows, rejected = run(phantom_films, tmp_path / "out", leave_out_contradictions=False)
    assert rejected.empty
    assert set(rows[rows["cluster_id"] != ""]["label"]) == {"cxr-covid", "cxr-normal"}


def test_nothing_is_joined_where_it_is_not_asked_for(phantom_films: Path, tmp_path: Path) -> None:
    data = (phantom_films / "cxr-normal" / "3.png").read_bytes()
    (phantom_films / "cxr-covid" / "again.jpg").write_bytes(saved_again(data))
    rows, _ = run(phantom_films, tmp_path / "out", near_duplicate_similarity=2.0)
    assert len(rows) == 41
    assert set(rows["cluster_id"]) == {""}


def test_a_film_in_many_pairs_is_read_once(
    phantom_films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = (phantom_films / "cxr-normal" / "3.png").read_bytes()
    paths = [tmp_path / f"{number}.png" for number in range(6)]
    for path in paths:
        path.write_bytes(film)
    read: list[int] = []
    thumbnail_of = near_duplicates._read
    monkeypatch.setattr(near_duplicates, "_read", lambda paths, at: read.append(int(at)) or thumbnail_of(paths, at))
    monkeypatch.setattr(near_duplicates, "_COMPARED_AT_ONCE", 4)
    pairs = find_near_duplicates(paths, [detail_hash(decode(film))] * 6, similarity=0.95)
    assert pairs.tolist() == [[i, j] for i in range(6) for j in range(i + 1, 6)]
    assert sorted(read) == list(range(6))


def test_what_hangs_together_has_one_name_whatever_the_order() -> None:
    hashes = ["d0", "a0", "c0", "b0", "e0"]
    pairs = pd.DataFrame([(0, 1), (1, 4)]).to_numpy()
    assert cluster_names(hashes, pairs) == ["near-a0", "near-a0", "", "", "near-a0"]
    assert cluster_names(hashes, pairs[:0]) == [""] * 5
    assert cluster_names(hashes[::-1], 4 - pairs) == ["near-a0", "", "", "near-a0", "near-a0"]


def test_blank_tiny_and_cut_off_films_are_left_out_with_their_reason(phantom_films: Path, tmp_path: Path) -> None:
    folder = phantom_films / "cxr-normal"
    film = saved_again((folder / "3.png").read_bytes())
    Image.new("L", (200, 200), 255).save(folder / "blank.png")
    with Image.open(folder / "3.png") as image:
        image.resize((12, 12)).save(folder / "tiny.png")
    (folder / "cut.jpg").write_bytes(film[: len(film) // 2])
    _, rejected = run(phantom_films, tmp_path / "out")
    reasons = dict(zip(rejected["name"], rejected["reason"], strict=True))
    assert set(reasons) == {f"cxr-normal/{name}" for name in ("blank.png", "tiny.png", "cut.jpg")}
    assert "is blank" in reasons["cxr-normal/blank.png"]
    assert "is too small (12 x 12 pixels" in reasons["cxr-normal/tiny.png"]
    assert "corrupt or truncated" in reasons["cxr-normal/cut.jpg"]


def test_films_of_different_patients_of_a_real_set_are_not_joined(shared_data: Path, tmp_path: Path) -> None:
    for name, most in (("nih-covid-3", 2), ("covid-chestxray", 4)):
        rows, rejected = run(shared_data / name, tmp_path / name, find_cropped_up_to=0)
        joined = rows[rows["cluster_id"] != ""]
        assert rejected.empty
        assert len(joined) <= most
        assert (joined.groupby("cluster_id")["patient_id"].nunique() == 1).all()


def test_films_of_a_real_set_that_stand_under_two_patients_are_joined(shared_data: Path, tmp_path: Path) -> None:
    """Cropped, brighter, with 'day 1' written on it: published twice, and taken for two people. Looked at by eye."""
    rows, rejected = run(shared_data / "covid-chestxray", tmp_path / "out")
    patients = (
        rows[rows["cluster_id"] != ""].groupby("cluster_id")["patient_id"].agg(lambda ids: tuple(sorted(set(ids))))
    )
    numbers = {tuple(int(name.removeprefix("ieee8023-")) for name in found) for found in patients if len(found) > 1}
    assert numbers >= {(137, 202), (192, 196), (193, 195)}
    assert len(numbers) <= 4
    assert rejected.empty


def test_a_real_film_saved_again_in_another_set_is_found(shared_data: Path, tmp_path: Path) -> None:
    """60 films of one set, and these again under another label, as a second download would have them."""
    root = tmp_path / "in"
    with (shared_data / "radiography-4" / "manifest.csv").open() as file:
        chosen = list(csv.DictReader(file))[::27][:60]
    for row in chosen:
        path = shared_data / "radiography-4" / row["path"]
        for label in (row["label"], "cxr-opacity"):
            (root / label).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, root / row["label"])
        (root / "cxr-opacity" / path.name).write_bytes(saved_again(path.read_bytes()))
    alone = root / "cxr-opacity" / "alone.png"
    Image.open(io.BytesIO(next(open_source("phantom://cxr?images=9&size=256").images()).read())).save(alone)
    rows, rejected = run(root, tmp_path / "out")
    assert len(rows) == 1
    assert len(rejected) == 120
    assert rejected["reason"].str.startswith("nearly the same picture stands under two labels").all()
    assert rejected["cluster_id"].nunique() == 60
