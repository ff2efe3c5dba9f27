"""Cropped, framed and mirrored copies: found on real films and phantoms, and no film of another person with them."""

import csv
import io
import logging
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from secondread.config.ingest import IngestConfig
from secondread.config.preprocess import PreprocessConfig
from secondread.data.cleaning.cropped_copies import find_cropped_copies, unframed
from secondread.data.ingest import ingest
from secondread.data.manifest import read_manifest, read_rejected
from secondread.data.sources.open import open_source
from secondread.data.versions.version import write_dataset_version

Grey = npt.NDArray[np.uint8]
FILMS, COPIED = 80, 25


def cropped(film: Grey, share: float, random: np.random.Generator) -> Grey:
    """Less that share of each side, cut off at both ends by chance; then a square of 256 px, its aspect ratio lost."""
    height, width = film.shape
    cut_y, cut_x = round(height * share), round(width * share)
    top, left = random.integers(cut_y + 1), random.integers(cut_x + 1)
    kept = Image.fromarray(film[top : top + height - cut_y, left : left + width - cut_x])
    return np.asarray(kept.resize((256, 256), Image.Resampling.BILINEAR))


def framed(film: Grey, grey: int) -> Grey:
    height, width = film.shape
    return np.pad(film, ((height // 30, height // 18), (width // 16, width // 40)), constant_values=grey)


def brighter(film: Grey) -> Grey:
    return np.clip(film * 1.15 + 10, 0, 255).astype(np.uint8)


COPIES: dict[str, Callable[[Grey, np.random.Generator], Grey]] = {
    "cropped by 4 %": lambda film, random: cropped(film, 0.04, random),
    "cropped by 8 % and brighter": lambda film, random: brighter(cropped(film, 0.08, random)),
    "cropped by 12 %": lambda film, random: cropped(film, 0.12, random),
    "in a black frame": lambda film, _: framed(film, 0),
    "with a white border": lambda film, _: framed(film, 255),
    "mirrored and cropped": lambda film, random: cropped(film[:, ::-1], 0.04, random),
}


@pytest.fixture(scope="module")
def real_films(shared_data: Path) -> list[Grey]:
    """80 films of as many people."""
    with (shared_data / "nih-covid-3" / "manifest.csv").open() as file:
        by_patient = {row["patient_id"]: row["path"] for row in csv.DictReader(file)}
    chosen = [by_patient[patient] for patient in sorted(by_patient)][::8][:FILMS]
    return [np.asarray(Image.open(shared_data / "nih-covid-3" / path).convert("L")) for path in chosen]


def store(pictures: list[Grey], folder: Path) -> tuple[list[Path], list[str]]:
    folder.mkdir(parents=True, exist_ok=True)
    paths, hashes = [], []
    for number, picture in enumerate(pictures):
        paths.append(folder / f"{number}.jpg")
        Image.fromarray(picture).save(paths[-1], quality=75)
        hashes.append(sha256(paths[-1].read_bytes()).hexdigest())
    return paths, hashes


def pairs_of(pictures: list[Grey], folder: Path, patients: list[str] | None = None) -> set[tuple[int, int]]:
    paths, hashes = store(pictures, folder)
    found = find_cropped_copies(paths, hashes, patients or [""] * len(paths))
    return {(min(pair), max(pair)) for pair in found.tolist()}


@pytest.mark.parametrize("kind", COPIES)
def test_copies_of_real_films_are_found_and_nothing_else(real_films: list[Grey], tmp_path: Path, kind: str) -> None:
    random = np.random.default_rng(0)
    copies = [COPIES[kind](film, random) for film in real_films[:COPIED]]
    found = pairs_of([*real_films, *copies], tmp_path)
    planted = {(number, FILMS + number) for number in range(COPIED)}
    assert len(found & planted) >= 0.9 * COPIED
    assert not found - planted


def test_the_order_of_the_films_does_not_matter(real_films: list[Grey], tmp_path: Path) -> None:
    films = real_films[:60]
    random = np.random.default_rng(0)
    pictures = [*films, *(cropped(film, 0.06, random) for film in films[:10])]
    last = len(pictures) - 1
    found = pairs_of(pictures, tmp_path / "one")
    turned = pairs_of(pictures[::-1], tmp_path / "two")
    assert len(found) == 10
    assert {(last - second, last - first) for first, second in turned} == found


def test_copies_of_a_known_patient_are_together_anyway(real_films: list[Grey], tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    pictures = [*real_films[:30], *(cropped(film, 0.06, random) for film in real_films[:3])]
    people = [str(number) for number in range(30)]
    assert pairs_of(pictures, tmp_path, [*people, "0", "someone else", ""]) == {(1, 31), (2, 32)}


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_few_pictures_are_no_trouble(real_films: list[Grey], tmp_path: Path, count: int) -> None:
    assert pairs_of(real_films[:count], tmp_path) == set()


def test_even_pictures_are_no_copies(tmp_path: Path) -> None:
    assert pairs_of([np.full((200, 200), grey, np.uint8) for grey in (0, 90, 255)], tmp_path) == set()


def test_a_frame_is_taken_off_and_nothing_else(real_films: list[Grey]) -> None:
    film = real_films[0][20:-20, 20:-20]
    inner, outer = (unframed(picture, side=64).astype(int) for picture in (film, framed(film, 255)))
    assert np.abs(inner - outer).mean() < 1
    even = np.full((100, 100), 7, np.uint8)
    assert (unframed(even, side=64) == 7).all()


def test_a_cropped_copy_keeps_the_film_in_one_split_and_under_two_labels_goes(
    real_films: list[Grey], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root, random = tmp_path / "films", np.random.default_rng(0)
    for number, film in enumerate(real_films[:80]):
        folder = root / ("sick" if number % 2 else "well")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(film).save(folder / f"{number}.jpg", quality=90)
        if number < 20:
            copy = Image.fromarray(cropped(film, 0.07, random))
            copy.save(root / ("well" if number < 2 else folder.name) / f"{number}-copy.jpg", quality=80)
    ingest(IngestConfig(source=str(root)), tmp_path / "in")
    rows, rejected = read_manifest(tmp_path / "in/manifest.parquet"), read_rejected(tmp_path / "in/rejected.parquet")
    assert set(rejected["name"]) == {"sick/1.jpg", "well/1-copy.jpg"}
    assert rejected["reason"].str.startswith("nearly the same picture stands under two labels").all()
    assert rows.loc[rows["cluster_id"] != "", "cluster_id"].value_counts().tolist() == [2] * 19
    version = write_dataset_version(tmp_path / "in", tmp_path / "dataset", PreprocessConfig(image_size=32))
    joined = version.manifest[version.manifest["cluster_id"] != ""]
    assert (joined.groupby("cluster_id")["split"].nunique() == 1).all()
    caplog.set_level(logging.WARNING, logger="secondread")
    ingest(IngestConfig(source=str(root), find_cropped_up_to=99), tmp_path / "in-2")
    assert "cropped copies are not looked for among 100 images, only among up to 99" in caplog.text
    assert set(read_manifest(tmp_path / "in-2" / "manifest.parquet")["cluster_id"]) == {""}


def test_phantoms_of_different_people_are_no_copies(tmp_path: Path) -> None:
    images = list(open_source("phantom://cxr?images=100&size=128&classes=cxr-normal,cxr-covid&wrong_labels=0").images())
    films = [np.asarray(Image.open(io.BytesIO(image.read())).convert("L")) for image in images]
    assert pairs_of(films, tmp_path, [image.patient_id for image in images]) == set()


def test_copies_between_public_collections_are_found(shared_data: Path) -> None:
    """Covid films that are in both, cropped and squeezed, and one that is in one set twice: all looked at by eye."""
    named = []
    for name in ("nih-covid-3", "radiography-4"):
        with (shared_data / name / "manifest.csv").open() as file:
            rows = [row for row in csv.DictReader(file) if row["label"] == "cxr-covid"]
        named += [(name, row["path"], row["patient_id"]) for row in rows]
    paths = [shared_data / name / path for name, path, _ in named]
    hashes = [sha256(path.read_bytes()).hexdigest() for path in paths]
    pairs = find_cropped_copies(paths, hashes, [patient for _, _, patient in named])
    within = [pair for pair in pairs.tolist() if named[pair[0]][0] == named[pair[1]][0]]
    assert len(pairs) - len(within) >= 14
    assert [sorted(named[position][1] for position in pair) for pair in within] == [
        ["cxr-covid/COVID-853.jpg", "cxr-covid/COVID-945.jpg"]
    ]
