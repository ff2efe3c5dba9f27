"""The manifest: one row an image, the columns and their meaning."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from secondread.atomic import atomic_file
from secondread.data.sources.names import readable_name
from secondread.errors import IntegrityError

MANIFEST_FILE = "manifest.parquet"
REJECTED_FILE = "rejected.parquet"
SPLITS = ("train", "val", "test", "final_eval")

# Column -> pandas dtype. Strings are empty where a thing is not known; `age` is then NaN.
COLUMNS = {
    "image_id": "string",  # sha256 of the source file's bytes, hex
    "pixel_hash": "string",  # sha256 of the decoded pixels at full size, hex: no image size changes it
    "path": "string",  # relative to the stored root
    "label": "string",  # class name
    "patient_id": "string",  # keyed hash, or as published where the source is public
    "study_id": "string",
    "cluster_id": "string",  # near-duplicate cluster; empty where an image is alone
    "group_id": "string",  # what must stay together: the patient, else a duplicate cluster, else the image
    "modality": "string",  # cxr, oct or another
    "source": "string",
    "site": "string",
    "license": "string",
    "split": "string",  # train, val, test, final_eval or empty
    "original_split": "string",  # as the publisher dealt it, under any name; never used as ours, only audited
    "width": "int32",  # pixels, as stored
    "height": "int32",  # pixels, as stored
    "sex": "string",
    "age": "float32",  # years
    "view": "string",
    "acquired_at": "string",  # ISO 8601
    "body_part": "string",  # code of DICOM, such as CHEST
    "laterality": "string",  # R, L, B (both) or U (unpaired)
    "burnt_in_text": "string",  # stated by the header, else `seen` or `none`; empty in a picture too small to tell
}
# A manifest of an earlier version lacks these, and is read as if nothing were known.
LATER_COLUMNS = frozenset({"body_part", "laterality", "burnt_in_text"})
# Hash, cluster and splits let the audit say what was twice in a set after the copies are gone.
REJECTED_COLUMNS = (
    *("name", "label", "image_id", "reason"),
    *("pixel_hash", "cluster_id", "source", "original_split"),
)


def typed(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with exactly the manifest's columns, in order and with their types.

    Args:
        frame: any of the columns; those that are missing become empty, or 0 for a size.
    """
    complete = {
        name: frame[name] if name in frame else pd.Series([_empty(dtype)] * len(frame), index=frame.index)
        for name, dtype in COLUMNS.items()
    }
    return pd.DataFrame(complete).astype(COLUMNS).reset_index(drop=True)


def _empty(dtype: str) -> object:
    return {"string": "", "int32": 0, "float32": float("nan")}[dtype]


def write_manifest(frame: pd.DataFrame, path: Path) -> None:
    """Write a manifest, whole or not at all, so that the same rows give the same bytes."""
    with atomic_file(path) as aside:
        typed(frame).to_parquet(aside, index=False, compression="zstd")


def read_manifest(path: Path) -> pd.DataFrame:
    """Read a manifest.

    Raises:
        IntegrityError: it is missing, damaged, or lacks a column.
    """
    try:
        frame = pd.read_parquet(path)
    except FileNotFoundError as error:
        raise IntegrityError(f"{path} is missing. Run the step that writes it again.") from error
    except (OSError, ValueError) as error:
        raise IntegrityError(f"{path} is damaged ({_reason(error)}). Run the step that writes it again.") from error
    missing = [name for name in COLUMNS if name not in frame and name not in LATER_COLUMNS]
    if missing:
        raise IntegrityError(f"{path} lacks the columns {', '.join(missing)}. Write it with this version again.")
    return typed(frame)


def _reason(error: Exception) -> str:
    """On one line, and without the control characters that a damaged file may bring into it."""
    return readable_name(" ".join(str(error).split()))


def read_rejected(path: Path) -> pd.DataFrame:
    """What was left out, the columns `REJECTED_COLUMNS`; no rows where there is no such file.

    Raises:
        IntegrityError: it is damaged.
    """
    if not path.is_file():
        return pd.DataFrame(columns=list(REJECTED_COLUMNS), dtype="string")
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise IntegrityError(f"{path} is damaged ({_reason(error)}). Ingest the source again.") from error
    return frame.reindex(columns=list(REJECTED_COLUMNS)).fillna("").astype("string")


def write_rejected(rows: pd.DataFrame | list[dict[str, str]], path: Path) -> None:
    """Write the record of what was left out, with the reason of each; columns that the record does not have go."""
    with atomic_file(path) as aside:
        pd.DataFrame(rows, columns=list(REJECTED_COLUMNS)).astype("string").to_parquet(aside, index=False)
