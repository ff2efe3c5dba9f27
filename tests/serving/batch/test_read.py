"""Readings of many images: what a server says of each, in a table that a cut run goes on with."""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import psutil
import pyarrow.parquet as pq
import pytest
from onnx import numpy_helper

from secondread.atomic import sha256_bytes, sha256_file
from secondread.config.engine import EngineConfig
from secondread.config.environment import Environment
from secondread.data.store.open import open_object_store
from secondread.errors import DependencyError, InputError, IntegrityError
from secondread.model.folder import ModelFolder
from secondread.serving.batch import read as batch
from secondread.serving.batch.read import Scored, Scorer, score
from secondread.serving.batch.table import METADATA_KEY
from secondread.serving.predict import predict_with_model, predict_with_server
from secondread.serving.protocol import contract

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


@pytest.fixture(params=["list", "store"])
def place(request: pytest.FixtureRequest, films: Path) -> str:
    """The films, named by a list or put into a store."""
    names = sorted(str(path.relative_to(films)) for path in films.rglob("*.*") if path.suffix != ".txt")
    if request.param == "list":
        (films / "list.csv").write_text("\n".join(["path", *names]))
        return str(films / "list.csv")
    return str(request.getfixturevalue("stored")(films, names))


@pytest.fixture
def stored(swift: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, list[str]], str]:
    """Put files into a container of their own, and give its URI."""

    def put(folder: Path, names: list[str]) -> str:
        for name, value in swift.variables().items():
            monkeypatch.setenv(name, value)
        container = f"batch-{uuid.uuid4()}"
        swift.make_container(container)
        store = open_object_store(f"s3://{container}", Environment.read())
        for name in names:
            data = (folder / name).read_bytes()
            store.write(name, data, sha256=sha256_bytes(data))
        return f"s3://{container}"

    return put


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


def test_it_counts_what_it_says(films: Path, scorer: Scorer, white: bytes, tmp_path: Path) -> None:
    (films / "ward-1" / "white.png").write_bytes(white)
    (films / "ward-1" / "empty.png").write_bytes(b"")
    scored = score(str(films), scorer, tmp_path / "readings.parquet")
    rows = rows_of(tmp_path / "readings.parquet").values()
    for column, counts in (("label", scored.labels), ("urgency", scored.urgency)):
        assert counts == dict(sorted(Counter(row[column] for row in rows if not row["error"]).items()))
    assert scored.out_of_distribution == sum(bool(row["out_of_distribution"]) for row in rows) == 1
    assert scored.unreadable_share == 2 / (IMAGES + 3)
    # as a person would group them: not by what differs from file to file
    assert scored.errors == {"the JPEG is corrupt or truncated.": 1, "the file is empty.": 1}


def test_a_graph_that_gives_no_numbers_leaves_no_table(films: Path, scorer: Scorer, tmp_path: Path) -> None:
    graph = onnx.load(scorer.graph)
    (head,) = (each for each in graph.graph.initializer if each.name == "head")
    head.CopyFrom(numpy_helper.from_array(np.full(head.dims, np.nan, np.float32), "head"))
    onnx.save(graph, tmp_path / "broken.onnx")
    with pytest.raises(DependencyError, match="figures are no numbers"):
        broken = tmp_path / "broken.onnx"
        score(str(films), replace(scorer, graph=broken, sha256=sha256_file(broken)), tmp_path / "readings.parquet")
    assert not (tmp_path / "readings.parquet").exists()


def test_a_graph_that_took_the_place_of_another_answers_under_its_own_digest(
    films: Path, model: ModelFolder, tmp_path: Path
) -> None:
    folder, output = tmp_path / "model", tmp_path / "readings.parquet"
    shutil.copytree(model.root, folder)
    first = Scorer.of_folder(folder)
    score(str(films), first, output)
    before = [row["label"] for row in rows_of(output).values()]
    graph = onnx.load(first.graph)
    (head,) = (each for each in graph.graph.initializer if each.name == "head")
    head.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(head), "head"))
    onnx.save(graph, first.graph)
    score(str(films), Scorer.of_folder(folder), output)
    assert [row["label"] for row in rows_of(output).values()] != before
    batch._session.cache_clear()  # as in a worker that starts later
    with pytest.raises(IntegrityError, match=r"was replaced since the run began\. Start it again"):
        score(str(films), first, output)


def test_a_csv_names_its_images(films: Path, scorer: Scorer, tmp_path: Path) -> None:
    names = ["ward-0/00.png", "ward-1/01.jpg", "ward-0/gone.png"]
    with (films / "list.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["number", "path"], *enumerate(names)])
    scored = score(str(films / "list.csv"), scorer, tmp_path / "readings.parquet")
    rows = rows_of(tmp_path / "readings.parquet")
    assert list(rows) == names
    assert (scored.unreadable, rows["ward-0/gone.png"]["error"]) == (1, "No such file or directory")


def test_a_link_that_leads_nowhere_or_in_a_circle_is_one_row(films: Path, scorer: Scorer, tmp_path: Path) -> None:
    (films / "ward-0" / "circle.png").symlink_to(films / "ward-0" / "circle.png")
    (films / "ward-0" / "gone.png").symlink_to(films / "nothing.png")
    (films / "list.csv").write_text("path\nward-0/00.png\nward-0/circle.png\nward-0/gone.png\n")
    for place, readable in ((films, IMAGES), (films / "list.csv", 1)):
        scored = score(str(place), scorer, tmp_path / "readings.parquet")
        rows = rows_of(tmp_path / "readings.parquet")
        assert rows["ward-0/circle.png"]["error"] == os.strerror(errno.ELOOP)
        assert rows["ward-0/gone.png"]["error"] == os.strerror(errno.ENOENT)
        assert scored.images - scored.unreadable == readable


def test_phantoms_are_a_source_as_any_other(scorer: Scorer, tmp_path: Path) -> None:
    scored = score("phantom://cxr?images=6&size=64", scorer, tmp_path / "readings.parquet")
    assert (scored.images, scored.unreadable) == (6, 0)


def test_a_run_that_was_interrupted_goes_on_where_it_was(
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


def _without_room(made: Path, aside: Path) -> None:
    Path("/dev/full").write_text("a byte")


def _without_leave(made: Path, aside: Path) -> None:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@pytest.mark.parametrize(
    ("copy", "kind", "said"),
    [(_without_room, DependencyError, "no room is left for"), (_without_leave, InputError, "Permission denied")],
)
def test_what_was_read_is_not_lost_where_the_table_cannot_be_put(
    copy: Callable[..., None],
    kind: type[Exception],
    said: str,
    films: Path,
    scorer: Scorer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(batch.shutil, "copyfile", copy)
        with pytest.raises(kind, match=said):
            score(str(films), scorer, tmp_path / "readings.parquet")
    assert not (tmp_path / "readings.parquet").exists()

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("an image was read again")

    monkeypatch.setattr(batch, "_read", never)
    assert score(str(films), scorer, tmp_path / "readings.parquet").images == IMAGES + 1
    assert not list(tmp_path.glob(".readings*"))


def test_a_run_is_not_gone_on_with_on_other_images_of_the_same_names_sizes_and_times(
    scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("monday", "tuesday"):
        for index in range(3):
            file = tmp_path / name / f"{index}.png"
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(f"{index} of {name:>7}".encode())
            os.utime(file, ns=(1, 1))
    monkeypatch.setattr(batch, "BATCH_IMAGES", 1)
    genuine = batch._read

    def cut(images: Any, **rest: Any) -> Any:
        if images[0].name == "1.png":
            raise KeyboardInterrupt
        return genuine(images, **rest)

    with monkeypatch.context() as patch:
        patch.setattr(batch, "_read", cut)
        with pytest.raises(KeyboardInterrupt):
            score(str(tmp_path / "monday"), scorer, tmp_path / "readings.parquet")
    score(str(tmp_path / "tuesday"), scorer, tmp_path / "readings.parquet")
    for name, row in rows_of(tmp_path / "readings.parquet").items():
        assert row["image_id"] == sha256_bytes((tmp_path / "tuesday" / name).read_bytes())


# a run of the command line that is killed when its second batch is in the journal, and says what it had started
_KILLED = """
import os, signal
import psutil
from secondread.cli.main import main
from secondread.data.engines.journal import Journal
from secondread.serving.batch import read as batch
batch.BATCH_IMAGES = 8
write = Journal.write
def write_and_die(self, number, document):
    write(self, number, document)
    if number == 1:
        print(*[child.pid for child in psutil.Process().children(recursive=True)], flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
Journal.write = write_and_die
main()
"""


# after a kill Ray's agents notice only after a minute that the rest of the cluster is gone
@pytest.mark.parametrize("engine", ["local", pytest.param("ray", marks=pytest.mark.full)])
def test_a_run_that_was_killed_goes_on_and_says_what_predict_says(
    place: str,
    engine: str,
    films: Path,
    scorer: Scorer,
    model: ModelFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    output = tmp_path / "readings.parquet"
    options = ("--input", place, "--output", str(output), "--model", str(model.root), "--engine", engine)
    done = subprocess.run([sys.executable, "-c", _KILLED, "batch", *options], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not output.exists()
    _, alive = psutil.wait_procs(
        [psutil.Process(int(pid)) for pid in done.stdout.split() if psutil.pid_exists(int(pid))]
    )
    assert not alive
    monkeypatch.setattr(batch, "BATCH_IMAGES", 8)
    with caplog.at_level("INFO", logger="secondread"):
        scored = score(place, scorer, output, engine=EngineConfig(engine=engine))
    assert f"going on where a run was cut: 16 of {IMAGES + 1} images are done" in caplog.text
    assert not list(tmp_path.glob(".readings*"))
    rows = rows_of(output)
    assert (len(rows), scored.unreadable) == (IMAGES + 1, 1)
    files = [path for path in films.rglob("*.*") if path.suffix in (".png", ".jpg") and path.stem != "torn"]
    for reading in predict_with_model(model.root, files):
        row = rows[str(Path(reading.path).relative_to(films))]
        assert (row["label"], row["urgency"], row["image_id"]) == (reading.label, reading.urgency, reading.image_id)
        assert row["out_of_distribution"] == reading.out_of_distribution
        for name, share in reading.probabilities.items():
            assert row[f"p_{name}"] == pytest.approx(share, abs=1e-6)


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
    with pytest.raises(InputError, match=r"folder\.parquet is a folder\. Name the file"):
        score(str(tmp_path / "empty"), scorer, tmp_path / "folder.parquet")  # said before anything is looked at
    with pytest.raises(IntegrityError, match="is no model folder"):
        Scorer.of_folder(tmp_path / "empty")


def test_a_summary_for_people() -> None:
    scored = Scored(
        images=1200,
        unreadable=3,
        out_of_distribution=7,
        labels={"cxr-covid": 197, "cxr-normal": 1000},
        urgency={"routine": 993, "unknown": 7, "urgent": 197},
        errors={"the file is empty (0 bytes).": 3},
        output="readings.parquet",
    )
    assert scored.line() == (
        "1,200 images: 197 cxr-covid, 1,000 cxr-normal; 7 out of distribution, 3 unreadable\nreadings.parquet"
    )
