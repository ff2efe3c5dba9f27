"""The manifest on disk: every column there is, and none that is guessed."""

from pathlib import Path

import pandas as pd
import pytest

from secondread.data.manifest import COLUMNS, read_manifest, typed, write_manifest
from secondread.errors import IntegrityError


def test_what_is_not_known_is_empty_and_not_guessed(tmp_path: Path) -> None:
    write_manifest(pd.DataFrame({"path": ["a.png"], "label": ["normal"]}), tmp_path / "manifest.parquet")
    row = read_manifest(tmp_path / "manifest.parquet").iloc[0]
    assert list(row.index) == list(COLUMNS)
    assert row["cluster_id"] == row["original_split"] == row["patient_id"] == ""
    assert pd.isna(row["age"])


def test_a_manifest_that_lacks_a_column_is_refused_by_its_name(tmp_path: Path) -> None:
    rows = typed(pd.DataFrame({"path": ["a.png"], "label": ["normal"]})).drop(columns="cluster_id")
    rows.to_parquet(tmp_path / "manifest.parquet")
    with pytest.raises(IntegrityError, match="lacks the columns cluster_id"):
        read_manifest(tmp_path / "manifest.parquet")
