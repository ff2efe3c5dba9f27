"""The table of readings, as it is read back to be held beside a first reader's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from secondread.errors import InputError
from secondread.model.folder import ModelFolder
from secondread.serving.batch.read import Scorer, score
from secondread.serving.batch.table import METADATA_KEY, read_table


@pytest.fixture
def table(model: ModelFolder, film: Callable[..., bytes], white: bytes, tmp_path: Path) -> Path:
    (tmp_path / "films").mkdir()
    for name, data in (("a.png", film(1)), ("b.png", b"\x89PNG torn"), ("c.png", film(2)), ("white.png", white)):
        (tmp_path / "films" / name).write_bytes(data)
    score(str(tmp_path / "films"), Scorer.of_folder(model.root), tmp_path / "readings.parquet")
    return tmp_path / "readings.parquet"


def test_it_says_what_was_written_and_of_which_model(table: Path, model: ModelFolder) -> None:
    found, written = read_table(table), pq.read_table(table).to_pydict()
    assert (found.model, found.digest, found.classes) == ("secondread", model.digest(), model.config.taxonomy.names)
    assert found.paths == ("a.png", "b.png", "c.png", "white.png")
    assert list(found.image_ids) == written["image_id"]
    assert found.labels == tuple(each or "" for each in written["label"])
    assert found.labels[1] == ""
    assert np.isnan(found.confidence).tolist() == [False, True, False, False]
    assert found.confidence[0] == np.float32(written["confidence"][0])
    assert found.out_of_distribution.tolist() == [bool(each) for each in written["out_of_distribution"]]
    assert found.out_of_distribution[3]


def test_what_is_no_table_of_readings_is_refused_in_one_line(table: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"none\.parquet does not exist\. Name the table that `secondread batch` wrote"
    ):
        read_table(tmp_path / "none.parquet")
    whole = pq.read_table(table)
    about = {METADATA_KEY: json.dumps({"model": "secondread"})}
    others = {
        "text.parquet": b"path,label\n",
        "bare": whole.replace_schema_metadata(None),
        "of what": whole.replace_schema_metadata(about),
        "without confidence": whole.drop_columns(["confidence"]),
        "with words for numbers": whole.set_column(3, "confidence", pa.array(["sure"] * 4)),
    }
    for name, content in others.items():
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            pq.write_table(content, path)
        with pytest.raises(InputError, match=f"{name} is no table of readings"):
            read_table(path)
