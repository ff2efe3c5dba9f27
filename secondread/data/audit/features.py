"""What must not tell the label, as numbers: one table of features for each thing, a row an image."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from secondread.cpus import cpu_limit
from secondread.data.audit.subject import Grey
from secondread.progress import track

Features = npt.NDArray[np.float32]

_FRAME_SHARE = 0.04  # of the shorter side; wider, and it reaches the patient
_LEVELS = 8  # of the border's histogram
_THUMBNAIL = 16  # pixels of both sides
_CORNER = 3  # pixels of both sides of each of its corners; with 4 they reach the tips of the lungs
_MOST_VALUES = 20  # of a field; rarer ones are one value together


@dataclass(frozen=True)
class Trait:
    """One thing that must not tell the label.

    Attributes:
        name: stable, for machines.
        title: for people, as the subject of a sentence.
        plural: that subject is many.
        pixels: it is seen in the picture, so that pictures show it.
    """

    name: str
    title: str
    pixels: bool = False
    plural: bool = False


TRAITS = (
    Trait("source", "the source"),
    Trait("view", "the view"),
    Trait("age", "the age"),
    Trait("sex", "the sex"),
    Trait("image_size", "the image size"),
    Trait("file_kind", "the file kind"),
    Trait("burnt_in_text", "whether there is text in the picture"),
    Trait("border_pixels", "a thin frame of border pixels", pixels=True),
    Trait("corners", "the corners of a 16 px thumbnail", pixels=True, plural=True),
)


def trait_features(
    rows: pd.DataFrame, read: Callable[[int], Grey], positions: npt.NDArray[np.intp]
) -> dict[str, Features]:
    """Features by trait; none for a trait that is the same, or not known, for all images.

    Args:
        rows: manifest rows of all images.
        read: gives the picture at a position.
        positions: of the images that are looked at.
    Returns:
        float32 (positions, features) each.
    """
    chosen = rows.iloc[positions]
    kinds = chosen["path"].map(lambda path: PurePosixPath(path).suffix)
    features = {name: _one_hot(chosen[name]) for name in ("source", "view", "sex", "burnt_in_text")}
    features |= {"age": _age(chosen["age"]), "image_size": _size(chosen), "file_kind": _one_hot(kinds)}
    with ThreadPoolExecutor(cpu_limit()) as pool:
        looked_at = pool.map(lambda position: _pixel_features(read(int(position))), positions)
        seen = list(track(looked_at, "looking at pictures", total=len(positions)))
    features["border_pixels"] = np.stack([border for border, _ in seen])
    features["corners"] = np.stack([corners for _, corners in seen])
    return {name: table for name, table in features.items() if (table != table[:1]).any()}


def _one_hot(values: pd.Series) -> Features:
    """A column for each common value; that a value is not known counts as one."""
    common = values.value_counts().index[:_MOST_VALUES]
    same = values.to_numpy(object)[:, None] == common.to_numpy(object)[None]
    return np.asarray(same, np.float32)


def _age(age: pd.Series) -> Features:
    """Years, and whether they are known."""
    return np.stack([age.fillna(-1).to_numpy(np.float32), age.isna().to_numpy(np.float32)], axis=1)


def _size(rows: pd.DataFrame) -> Features:
    width, height = rows["width"].to_numpy(np.float32), rows["height"].to_numpy(np.float32)
    return np.stack([width, height, width / np.maximum(height, 1)], axis=1)


def _pixel_features(grey: Grey) -> tuple[Features, Features]:
    return border_features(grey), corner_features(grey)


def border_features(grey: Grey) -> Features:
    """Mean, deviation and histogram of a thin frame, then mean and deviation of its four sides.

    Args:
        grey: uint8 (height, width).
    Returns:
        float32 (18,), grey levels and shares.
    """
    wide = max(1, round(_FRAME_SHARE * min(grey.shape)))
    sides = (grey[:wide], grey[-wide:], grey[:, :wide], grey[:, -wide:])
    frame = np.concatenate([side.ravel() for side in sides])
    share = np.bincount(frame >> 5, minlength=_LEVELS) / len(frame)
    moments = [value for side in (frame, *sides) for value in (side.mean(), side.std())]
    return np.array([*moments, *share], np.float32)


def corner_features(grey: Grey) -> Features:
    """The four corners of a thumbnail, 3 x 3 pixels each: float32 (36,), grey levels.

    Args:
        grey: uint8 (height, width).
    """
    small = np.asarray(
        Image.fromarray(grey).resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BILINEAR, reducing_gap=2.0)
    )
    rows = np.concatenate([small[:_CORNER], small[-_CORNER:]])
    return np.concatenate([rows[:, :_CORNER], rows[:, -_CORNER:]], axis=1).astype(np.float32).ravel()
