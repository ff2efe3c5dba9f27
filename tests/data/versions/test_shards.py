"""Shards: arrays that numpy maps, written one image at a time."""

from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from threading import Lock

import numpy as np
import pandas as pd
import pytest

from secondread.data.engines.ahead import ahead
from secondread.data.versions.shards import (
    ShardPart,
    create_shards,
    in_shard_order,
    read_part,
    read_shards,
    shard_file,
    shard_parts,
    write_part,
)

SIZE = 8


@pytest.fixture
def rows() -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "split": random.choice(["train", "val", "test"], 50),
            "pixel_hash": random.integers(1000, size=50).astype(str),
            "image_id": np.arange(50).astype(str),
            "path": np.arange(50).astype(str),
        }
    )


def images(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, SIZE, SIZE)).astype(np.uint8)


def written(folder: Path, ordered: pd.DataFrame, pixels: np.ndarray, parts: list[ShardPart]) -> list[str]:
    create_shards(folder, ordered, SIZE)
    starts = {split: int(part.index[0]) for split, part in ordered.groupby("split", sort=False)}
    places = {part: starts[part.split] + part.start for part in parts}
    return [
        digest for part in parts for digest in write_part(folder, part, pixels[places[part] : places[part] + len(part)])
    ]


def test_a_shard_is_what_numpy_would_save(rows: pd.DataFrame, tmp_path: Path) -> None:
    ordered, pixels = in_shard_order(rows), images(50)
    parts = shard_parts(ordered, SIZE)
    digests = written(tmp_path, ordered, pixels, parts)
    for split, part in ordered.groupby("split", sort=False):
        np.save(tmp_path / "expected.npy", pixels[part.index])
        assert (tmp_path / shard_file(split)).read_bytes() == (tmp_path / "expected.npy").read_bytes()
    assert digests == [sha256(image.tobytes()).hexdigest() for image in pixels]
    np.testing.assert_array_equal(np.stack(list(read_shards(tmp_path, ordered))), pixels)


def test_parts_may_be_written_in_any_order_and_are_read_back(rows: pd.DataFrame, tmp_path: Path) -> None:
    ordered, pixels = in_shard_order(rows), images(50)
    parts = [
        ShardPart(whole.split, start, whole.paths[start : start + 4])
        for whole in shard_parts(ordered, SIZE)
        for start in range(0, len(whole), 4)
    ]
    assert [path for part in parts for path in part.paths] == list(ordered["path"])
    written(tmp_path, ordered, pixels, parts[::-1])
    create_shards(tmp_path, ordered, SIZE)
    np.testing.assert_array_equal(np.stack(list(read_shards(tmp_path, ordered))), pixels)
    assert [digest for part in parts for digest in read_part(tmp_path, part, SIZE)] == [
        sha256(image.tobytes()).hexdigest() for image in pixels
    ]


@pytest.mark.parametrize(("size", "images_each"), [(64, 256), (512, 64), (8192, 1)])
def test_a_part_is_bounded_by_its_bytes(size: int, images_each: int) -> None:
    many = pd.DataFrame({"split": ["train"] * 600, "path": map(str, range(600))})
    assert len(shard_parts(many, size)[0]) == images_each


def test_the_order_forgets_that_of_the_rows(rows: pd.DataFrame) -> None:
    shuffled = rows.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(in_shard_order(shuffled), in_shard_order(rows))
    assert list(in_shard_order(rows)["split"].unique()) == ["train", "val", "test"]


def test_work_is_done_ahead_in_order_and_only_so_far() -> None:
    lock, started, taken, furthest = Lock(), 0, 0, 0

    def work(item: int) -> int:
        nonlocal started, furthest
        with lock:
            started += 1
            furthest = max(furthest, started - taken)
        return item * item

    with ThreadPoolExecutor(4) as pool:
        results = ahead(pool, work, range(200), limit=7)
        for number, result in enumerate(results):
            assert result == number * number
            taken += 1
    assert taken == 200
    assert furthest <= 7 + 1


def test_an_error_comes_at_its_place_and_ends_the_work() -> None:
    numbers = iter(range(1000))
    with ThreadPoolExecutor(2) as pool:
        results = ahead(pool, lambda item: 1 // (item - 5), numbers, limit=4)
        assert [next(results) for _ in range(5)] == [-1, -1, -1, -1, -1]
        with pytest.raises(ZeroDivisionError):
            next(results)
    assert next(numbers) < 20
