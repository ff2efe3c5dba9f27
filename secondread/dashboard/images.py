"""The images of a version as a table: of the manifest only the columns that are shown, and nobody's id."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from secondread.dashboard.shelf import Held, document_of
from secondread.data.manifest import LATER_COLUMNS, MANIFEST_FILE, SPLITS
from secondread.data.versions.split import split_counts
from secondread.errors import IntegrityError
from secondread.taxonomy import Taxonomy

CATEGORIES = (
    *("label", "split", "source", "site", "license", "modality", "sex", "view", "original_split"),
    *("body_part", "laterality", "burnt_in_text"),
)
NUMBERS = ("age", "width", "height")
IDS = ("patient_id", "study_id", "acquired_at")  # of these only whether they are known is kept


@dataclass(frozen=True)
class Images:
    """A version without its pixels.

    Attributes:
        key: of the version; what is computed from the table is kept under it.
        title: what people choose it by.
        taxonomy: classes in order.
        image_size: pixels of both sides.
        synthetic: the images are generated.
        table: a row an image, in the order of the manifest. The columns `CATEGORIES` as categories, empty where not
            known; `NUMBERS`, the age NaN where not known; `group`, int64, equal for what belongs together; and
            `has_<name>`, bool, for each of `IDS`.
    """

    key: str
    title: str
    taxonomy: Taxonomy
    image_size: int
    synthetic: bool
    table: pd.DataFrame

    @property
    def splits(self) -> list[str]:
        """Splits that have images, in their usual order."""
        used = set(self.table["split"].unique())
        return [split for split in SPLITS if split in used]


def read_images(held: Held) -> Images:
    """Read a version's table.

    Raises:
        IntegrityError: a record is damaged, or the manifest is not the one that `dataset.json` counted.
    """
    document = document_of(held)
    table = read_table(held.records() / MANIFEST_FILE)
    if split_counts(table) != document["counts"]:
        raise IntegrityError(
            f"version {held.title} is damaged: its manifest.parquet has other images than its dataset.json counts. "
            "Run preprocess again, or publish the version again."
        )
    try:
        # by itself, so that versions are shown too whose other rules this library no longer knows
        size = int(document["preprocessing"]["size"])
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(
            f"dataset.json of version {held.title} does not say how large its images are. Run preprocess again."
        ) from error
    taxonomy = Taxonomy.from_dict(document["taxonomy"])
    return Images(held.key, held.title, taxonomy, size, bool(document["synthetic"]), table)


def read_table(manifest: Path) -> pd.DataFrame:
    """The manifest's columns that are shown, as `Images.table` has them.

    Raises:
        IntegrityError: the file is missing, damaged, or lacks a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = [*CATEGORIES, *NUMBERS, *IDS, "group_id"]
    try:
        missing = set(wanted) - set(pq.read_schema(manifest).names)
        if missing - LATER_COLUMNS:
            lacking = ", ".join(sorted(missing - LATER_COLUMNS))
            raise IntegrityError(f"{manifest} lacks the columns {lacking}. Run preprocess again.")
        categories = [name for name in CATEGORIES if name not in missing]
        with pq.ParquetFile(manifest, read_dictionary=[*categories, "group_id"]) as file:
            read = file.read(columns=[name for name in wanted if name not in missing])
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise IntegrityError(f"{manifest} is damaged ({reason}). Run preprocess again.") from error
    columns: dict[str, object] = {name: _category(read[name].to_pandas()) for name in categories}
    columns.update((name, _category(pd.Series([""] * len(read)))) for name in missing)
    columns |= {name: read[name].to_pandas().astype("float32") for name in NUMBERS}
    columns |= {f"has_{name}": np.asarray(read[name].to_pandas() != "", bool) for name in IDS}
    columns["group"] = read["group_id"].to_pandas().cat.codes.astype("int64")
    return pd.DataFrame(columns)


def _category(values: pd.Series) -> pd.Series:
    """As a category of plain strings, which has the empty one, for what is not known."""
    values = values.astype("category")
    return values if "" in values.cat.categories else values.cat.add_categories([""])
