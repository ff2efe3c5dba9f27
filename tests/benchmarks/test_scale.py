"""The films of the large benchmark, what a command costs, and that the road from films to a published version works."""

import csv
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import scale_films
from benchmarks.cost import run_measured, tree_mib
from benchmarks.scale import IMAGE_SIZE, road
from benchmarks.scale_films import SIDE, film_folder
from secondread.data.cleaning.detail import details, thumbnail
from secondread.data.pixels.decode import decode
from secondread.data.store.local import LocalStore
from secondread.data.store.publish import published
from secondread.data.versions.dataset import DatasetVersion
from secondread.errors import DependencyError, InputError

MOST, SOME = 150, 120


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with all films and with some of them."""
    folder = tmp_path_factory.mktemp("home")
    film_folder(folder, SOME, most=MOST)
    return folder


def listed(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_smaller_set_is_the_first_films_of_the_larger_one(home: Path) -> None:
    every, some = film_folder(home, MOST, most=MOST), film_folder(home, SOME, most=MOST)
    assert listed(every)[:SOME] == listed(some)
    assert len(listed(every)) == MOST
    assert len(list(some.glob("*/*.jpg"))) == SOME
    assert all((some / row["path"]).samefile(every / row["path"]) for row in listed(some))


def test_every_film_is_another_picture_of_512_pixels(home: Path) -> None:
    folder = film_folder(home, SOME, most=MOST)
    films = [decode((folder / row["path"]).read_bytes()) for row in listed(folder)[:60]]
    patients = [row["patient_id"] for row in listed(folder)[:60]]
    assert {film.shape for film in films} == {(SIDE, SIDE)}
    shown = details(np.stack([thumbnail(film) for film in films]))
    likeness = shown @ shown.T
    pairs = itertools.combinations(range(60), 2)
    assert max(likeness[pair] for pair in pairs if patients[pair[0]] != patients[pair[1]]) < 0.95


def test_drawing_that_was_cut_goes_on_where_it_was(tmp_path: Path) -> None:
    folder = film_folder(tmp_path, 20, most=20)
    paths = sorted(folder.glob("*/*.jpg"))
    before = {path: path.read_bytes() for path in paths}
    paths[0].unlink()
    (folder / "manifest.csv").unlink()
    paths[1].write_bytes(b"there")
    film_folder(tmp_path, 20, most=20)
    assert paths[0].read_bytes() == before[paths[0]]
    assert paths[1].read_bytes() == b"there"
    assert not list(folder.glob("*/*.partial"))


def test_a_full_disk_is_said_before_films_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale_films, "_ROOM", 1 << 60)
    with pytest.raises(InputError, match="GB left, but 20 films"):
        film_folder(tmp_path, 20, most=20)


def test_the_road_from_films_leads_to_a_published_version(home: Path, tmp_path: Path) -> None:
    costs = road(film_folder(home, SOME, most=MOST), tmp_path)
    assert list(costs) == ["ingest", "preprocess", "audit", "publish", "catalogue"]
    version = DatasetVersion.open(tmp_path / "version")
    assert version.image_size == IMAGE_SIZE
    (stored,) = published(LocalStore(tmp_path / "store"))
    assert stored.content_hash == version.content_hash
    assert (tmp_path / "audit" / "audit.json").is_file()
    assert all(cost.seconds > 0.1 and cost.cpu_seconds > 0.1 and 50 < cost.peak_mib < 1024 for cost in costs.values())


GRANDCHILD = "import os; a = os.urandom(1 << 20) * 150; sum(range(20_000_000))"
CHILD = (
    "import subprocess, sys; b = b'x' * (120 << 20); subprocess.run([sys.executable, '-c', sys.argv[1]], check=True)"
)


def test_the_cost_counts_the_memory_of_all_processes_and_the_work_of_all(tmp_path: Path) -> None:
    cost = run_measured([sys.executable, "-c", CHILD, GRANDCHILD], variables={}, folder=tmp_path)
    assert 270 < cost.peak_mib < 400
    assert 0.1 < cost.cpu_seconds < 10


def test_a_command_that_fails_is_told_with_its_last_line(tmp_path: Path) -> None:
    program = "import os, sys; sys.exit('no ' + os.environ['WHAT'])"
    with pytest.raises(DependencyError, match="ended with 1: no films"):
        run_measured([sys.executable, "-c", program], variables={"WHAT": "films"}, folder=tmp_path)


def test_a_process_that_is_gone_has_no_memory() -> None:
    assert tree_mib(2**22 + 1) == 0
