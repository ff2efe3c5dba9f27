"""The picture of what a model reads wrong."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
from PIL import Image

from secondread.data.versions.dataset import SplitData
from secondread.training.misread import misread_sheet


def split(images: int) -> SplitData:
    """Each image is of one grey, 5 times its number."""
    greys = np.arange(images, dtype=np.uint8)[:, None, None, None] * 5
    pixels = np.broadcast_to(greys, (images, 1, 16, 16))
    return SplitData(pixels, np.zeros(images, np.int64), pd.DataFrame({"patient_id": ["p"] * images}))


def answers(confidence: list[float], wrong: set[int]) -> pd.DataFrame:
    predicted = ["cxr-covid" if index in wrong else "cxr-normal" for index in range(len(confidence))]
    ids = [f"{index:064x}" for index in range(len(confidence))]
    return pd.DataFrame({"image_id": ids, "label": "cxr-normal", "predicted": predicted, "confidence": confidence})


def greys_shown(sheet: bytes, columns: int) -> list[int]:
    """The grey in the middle of each picture."""
    picture = np.asarray(Image.open(io.BytesIO(sheet)))
    tops, lefts = range(8, picture.shape[0] - 8, 254), range(8, picture.shape[1] - 8, 200)
    assert len(lefts) == columns
    return [int(picture[top + 96, left + 96]) for top in tops for left in lefts]


def test_misread_images_are_shown_the_surest_first() -> None:
    sheet = misread_sheet(split(12), answers([0.5 + index / 100 for index in range(12)], wrong={2, 7, 11}))
    assert sheet is not None
    assert greys_shown(sheet, columns=3) == [55, 35, 10]


def test_of_many_the_surest_two_dozen_are_shown_in_rows_of_six() -> None:
    confidence = [1 - index / 100 for index in range(40)]
    sheet = misread_sheet(split(40), answers(confidence, wrong=set(range(40))))
    assert sheet is not None
    assert greys_shown(sheet, columns=6) == [5 * index for index in range(24)]


def test_where_none_is_misread_there_is_no_picture() -> None:
    assert misread_sheet(split(3), answers([0.9, 0.8, 0.7], wrong=set())) is None


def test_long_names_do_not_run_into_the_next_picture() -> None:
    reference = answers([0.9, 0.8], wrong={0, 1}).assign(label="x" * 200)
    sheet = misread_sheet(split(2), reference)
    assert sheet is not None
    picture = np.asarray(Image.open(io.BytesIO(sheet)))
    assert set(picture[200:, 200:208].ravel().tolist()) == {24}  # the ground between the two texts
