"""Which training images set the ranges, and which are refused."""

import numpy as np
import pandas as pd
import pytest

from secondread.data.versions.dataset import SplitData
from secondread.errors import InputError
from secondread.export.graphs.calibration_images import calibration_images, check_calibration


def split_of(counts: dict[int, int]) -> SplitData:
    labels = np.repeat(list(counts), list(counts.values()))
    images = np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1, 1)
    return SplitData(images, labels, pd.DataFrame({"image_id": labels.astype(str)}))


def test_a_rare_class_is_calibrated_on_as_well() -> None:
    data = split_of({0: 100, 1: 100, 2: 5})
    picked = calibration_images(data, count=45, seed=0)[:, 0, 0, 0]
    assert np.bincount(data.labels[picked]).tolist() == [20, 20, 5]
    assert len(set(picked.tolist())) == 45


def test_the_seed_picks_the_calibration_images() -> None:
    data = split_of({0: 100, 1: 100})
    one, same, other = (calibration_images(data, count=20, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_small_train_split_is_used_whole() -> None:
    assert len(calibration_images(split_of({0: 3, 1: 4}), count=100, seed=0)) == 7


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((0, 1, 8, 8), np.uint8), "there is no calibration image"),
        (np.zeros((5, 1, 8, 8), np.uint8), "5 of the 5 calibration images have one grey value"),
        (
            np.repeat(np.arange(64, dtype=np.uint8).reshape(1, 1, 8, 8), 5, axis=0),
            "5 calibration images are all the same",
        ),
    ],
)
def test_images_that_say_nothing_are_refused(pixels: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=f"{message}.* Preprocess the dataset again"):
        check_calibration(pixels)


def test_a_few_flat_images_are_no_reason_to_refuse_a_set() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 1, 8, 8), dtype=np.uint8)
    noise[:10] = 0
    check_calibration(noise)
