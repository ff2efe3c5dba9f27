"""Readings of many images: what a server says of each, in a table that a cut run goes on with."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from secondread.config.engine import EngineConfig
from secondread.errors import InputError, IntegrityError
from secondread.model.folder import ModelFolder
from secondread.serving import batch, contract
from secondread.serving.batch import METADATA_KEY, Scored, Scorer, score
from secondread.serving.predict import predict_with_server

IMAGES = 40


@pytest.fixture
def films(tmp_path: Path, film: Callable[..., bytes]) -> Path:
    """Films in folders, one of them damaged, and a file that is none."""
    folder = tmp_path / "films"
    for index in range(IMAGES):
        path = folder / f"ward-{index % 3}" / f"{index:02d}.{'jpg' if index % 2 else 'png'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(film(index, kind="JPEG" if index % 2 else "PNG"))
    (folder / "ward-0" / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture
def scorer(model: ModelFolder) -> Scorer:
    return Scorer.of_folder(model.root)


def rows_of(path: Path) -> dict[str, dict[str, Any]]:
    """By path."""
    return {row["path"]: row for row in pq.read_table(path).to_pylist()}


def test_it_says_what_a_server_says(films: Path, scorer: Scorer, served: Any, tmp_path: Path) -> None:
    scored = score(str(films), scorer, tmp_path / "readings.parquet")
    rows = rows_of(tmp_path / "readings.parquet")
    files = [path for path in sorted(films.rglob("*.*")) if path.suffix != ".txt" and path.stem != "torn"]
    for reading in predict_with_server(served.url, files):
        row = rows[str(Path(reading.path).relative_to(films))]
        assert (row["label"], row["urgency"], row["image_id"]) == (reading.label, reading.urgency, reading.image_id)
        assert row["out_of_distribution"] == reading.out_of_distribution
        assert row["error"] == ""
        for name, share in reading.probabilities.items():
            assert row[f"p_{name}"] == pytest.approx(share, abs=1e-6)
        assert row["confidence"] == pytest.approx(reading.confidence, abs=1e-6)
    torn = rows["ward-0/torn.jpg"]
    assert "corrupt or truncated" in torn["error"]
    assert torn["label"] is torn["confidence"] is torn["p_cxr-covid"] is None
    assert len(rows) == scored.images == IMAGES + 1
    assert (scored.unreadable, sum(scored.labels.values())) == (1, IMAGES)


def test_the_table_names_its_model_and_is_in_the_order_of_names(films: Path, scorer: Scorer, tmp_path: Path) -> None:
    score(str(films), scorer, tmp_path / "readings.parquet")
    table = pq.read_table(tmp_path / "readings.parquet")
    about = json.loads(table.schema.metadata[METADATA_KEY])
    assert (about["model"], about["digest"]) == ("secondread", scorer.model.digest)
    assert about["notice"] == contract.NOTICE
    assert table["path"].to_pylist() == sorted(table["path"].to_pylist())
    assert not list(tmp_path.glob(".readings*"))


def test_a_repository_is_read_as_its_model_folder(
    films: Path, scorer: Scorer, repository: Path, tmp_path: Path
) -> None:
    score(str(films), scorer, tmp_path / "one.parquet")
    score(str(films), Scorer.of_repository(repository, "secondread"), tmp_path / "two.parquet")
    one, two = (pq.read_table(tmp_path / name) for name in ("one.parquet", "two.parquet"))
    assert one.equals(two)
    assert json.loads(two.schema.metadata[METADATA_KEY])["model_version"] == "3"


def test_a_csv_names_its_images(films: Path, scorer: Scorer, tmp_path: Path) -> None:
    names = ["ward-0/00.png", "ward-1/01.jpg", "ward-0/gone.png"]
    with (films / "list.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["number", "path"], *enumerate(names)])
    scored = score(str(films / "list.csv"), scorer, tmp_path / "readings.parquet")
    rows = rows_of(tmp_path / "readings.parquet")
    assert list(rows) == names
    assert (scored.unreadable, rows["ward-0/gone.png"]["error"]) == (1, "No such file or directory")


def test_phantoms_are_a_source_as_any_other(scorer: Scorer, tmp_path: Path) -> None:
    scored = score("phantom://cxr?images=6&size=64", scorer, tmp_path / "readings.parquet")
    assert (scored.images, scored.unreadable) == (6, 0)


def test_a_run_that_was_cut_goes_on(
    films: Path, scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "BATCH_IMAGES", 8)
    score(str(films), scorer, tmp_path / "whole.parquet")
    read: list[str] = []
    genuine = batch._read

    def cut_after(count: int) -> Callable[..., Any]:
        def reading(images: Any, **rest: Any) -> Any:
            if len(read) >= count:
                raise KeyboardInterrupt
            read.extend(image.name for image in images)
            return genuine(images, **rest)

        return reading

    monkeypatch.setattr(batch, "_read", cut_after(16))
    with pytest.raises(KeyboardInterrupt):
        score(str(films), scorer, tmp_path / "cut.parquet")
    assert not (tmp_path / "cut.parquet").exists()
    first = len(read)
    monkeypatch.setattr(batch, "_read", cut_after(10_000))
    score(str(films), scorer, tmp_path / "cut.parquet")
    assert first < len(read) < 2 * IMAGES
    assert pq.read_table(tmp_path / "cut.parquet").equals(pq.read_table(tmp_path / "whole.parquet"))


def test_a_changed_image_or_model_begins_anew(
    films: Path, scorer: Scorer, film: Callable[..., bytes], tmp_path: Path
) -> None:
    output = tmp_path / "readings.parquet"
    score(str(films), scorer, output)
    before = rows_of(output)["ward-0/00.png"]["image_id"]
    (films / "ward-0" / "00.png").write_bytes(film(99))
    score(str(films), scorer, output)
    assert rows_of(output)["ward-0/00.png"]["image_id"] != before


@pytest.mark.timeout(300)
def test_ray_writes_the_same(films: Path, scorer: Scorer, tmp_path: Path) -> None:
    score(str(films), scorer, tmp_path / "local.parquet")
    score(str(films), scorer, tmp_path / "ray.parquet", engine=EngineConfig(engine="ray"))
    assert pq.read_table(tmp_path / "ray.parquet").equals(pq.read_table(tmp_path / "local.parquet"))


def test_what_cannot_be_read_or_written_is_told(films: Path, scorer: Scorer, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no image"):
        score(str(tmp_path / "empty"), scorer, tmp_path / "readings.parquet")
    (films / "list.csv").write_text("file\na.png\n")
    with pytest.raises(InputError, match="no column 'path'"):
        score(str(films / "list.csv"), scorer, tmp_path / "readings.parquet")
    (tmp_path / "folder.parquet").mkdir()
    with pytest.raises(InputError, match=r"folder\.parquet cannot be written"):
        score(str(films), scorer, tmp_path / "folder.parquet")
    with pytest.raises(IntegrityError, match="is no model folder"):
        Scorer.of_folder(tmp_path / "empty")


def test_a_summary_for_people() -> None:
    scored = Scored(1200, 3, 7, {"cxr-covid": 197, "cxr-normal": 1000}, "readings.parquet")
    assert scored.line() == (
        "1,200 images: 197 cxr-covid, 1,000 cxr-normal; 7 out of distribution, 3 unreadable\nreadings.parquet"
    )
