"""What physicians said of images, from a CSV file or a Parquet table: a row an image, in any order.

    image_id    SHA-256 of the film's bytes, hex; or, in its place,
    path        as the table of readings names it
    label       one of the model's classes, `other` for what is none of them, or empty: not read

Further columns are not looked at, and no path is put into a message: a file's name may be a patient's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from secondread.errors import InputError
from secondread.evaluation.reading_room.worklist import OTHER

_ID, _PATH, _LABEL = "image_id", "path", "label"
_PARQUET = b"PAR1"
_SHOWN = 12  # digits of an image's SHA-256 that a message names


def read_labels(
    file: Path, image_ids: Sequence[str], paths: Sequence[str], classes: Sequence[str]
) -> Mapping[str, str]:
    """What physicians said of some images.

    Args:
        file: CSV in UTF-8, or Parquet.
        image_ids: SHA-256 of each image that there is, hex; empty where it is not known.
        paths: of each of them.
        classes: of the model.
    Returns:
        Label by SHA-256, or by path where that is not known; without images that were not read.
    Raises:
        InputError: it cannot be read, lacks a column, or has an image that is not there or twice, or a label that is
            none.
    """
    table = _table(file)
    key = next((name for name in (_ID, _PATH) if name in table), "")
    if not key or _LABEL not in table:
        raise InputError(f"{file} has no column {_LABEL if key else f'{_ID} or {_PATH}'}. Give both, a row an image.")
    known, found = _known(image_ids, paths, by=key), dict[str, str]()
    for row, (name, label) in enumerate(zip(table[key], table[_LABEL], strict=True), start=1):
        if not name and not label:
            continue
        shown = f" ({name[:_SHOWN].lower()})" if key == _ID else ""
        where = f"{file}, row {row}{shown}"
        image = known.get(name.lower() if key == _ID else name)
        if image is None:
            raise InputError(f"{where}: this image is not among those that were read. Leave the row out, or read it.")
        if not image:
            raise InputError(f"{where}: several images have this path. Name them by {_ID}.")
        if image in found:
            raise InputError(f"{where}: this image is there twice. Leave one row out.")
        if label not in {*classes, OTHER, ""}:
            raise InputError(
                f"{where}: '{label[:50]}' is no class of the model ({', '.join(classes)}). Write it as the model does, "
                f"or '{OTHER}' for what is none of them."
            )
        found[image] = label
    return {image: label for image, label in found.items() if label}


def _known(image_ids: Sequence[str], paths: Sequence[str], *, by: str) -> Mapping[str, str]:
    """Each image by what the table calls it; empty where several are called so."""
    if by == _ID:
        return {each: each for each in image_ids if each}
    known: dict[str, str] = {}
    for image_id, path in zip(image_ids, paths, strict=True):
        known[path] = "" if path in known else image_id or path
    return known


def _table(file: Path) -> pd.DataFrame:
    """The table as text."""
    try:
        with file.open("rb") as opened:
            parquet = opened.read(len(_PARQUET)) == _PARQUET
        table = pd.read_parquet(file) if parquet else _csv(file)
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror or 'damaged'}). Name another file.") from error
    except ValueError:  # of pandas, pyarrow and UTF-8 alike; what they say may quote a row
        raise InputError(f"{file} is no table in CSV (UTF-8) or Parquet. Save it as one.") from None
    texts = {
        str(name).strip(): column.astype(object).where(column.notna(), "").astype(str).str.strip()
        for name, column in table.items()
    }
    return pd.DataFrame(texts)


def _csv(file: Path) -> pd.DataFrame:
    """A CSV file as text, a row a line, so that rows can be counted."""
    table = pd.read_csv(file, dtype=str, keep_default_na=False, skip_blank_lines=False, encoding="utf-8-sig")
    if not isinstance(table.index, pd.RangeIndex):
        raise ValueError("rows have more cells than the heading, and pandas has moved what they mean")
    return table
