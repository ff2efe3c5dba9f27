"""`secondread second-read`: from films, a first reader and an evaluation to a worklist, and back with the truth."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import Result
from typer.testing import CliRunner

from secondread.atomic import sha256_file
from secondread.cli.main import app
from secondread.data.pixels.preprocess import preprocess
from secondread.errors import GateRefused, InputError
from secondread.model.folder import REFERENCE_FILE, ModelFolder
from secondread.model.session import open_graph

QUICK = [
    f"--set=evaluate.{name}"
    for name in ("resamples=100", "stress_images=0", "strange_images=0", "timed_runs=0", "shown_images=0")
]
FILMS = 60


def secondread(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=True)


@pytest.fixture(scope="module")
def room(tiny_model: ModelFolder, film: Callable[..., bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with what it said of val, its evaluation, the day's films and their readings, each as commands write it.

    The model is right about every film of val, so that the dial closes whatever is agreed on.
    """
    folder = tmp_path_factory.mktemp("room")
    shutil.copytree(tiny_model.root, folder / "model")
    model = ModelFolder.open(folder / "model")
    names = model.config.taxonomy.names
    session = open_graph(model)

    def said(first: int, count: int) -> np.ndarray:
        pixels = [preprocess(film(seed), model.config.preprocessing) for seed in range(first, first + count)]
        return session.run(np.stack(pixels)[:, np.newaxis]).probabilities

    val = said(10_000, 40)
    pd.DataFrame(
        {
            "image_id": [f"{index:064x}" for index in range(40)],
            "label": [names[each] for each in val.argmax(axis=1)],
            "probabilities": list(val),
            "patient": [f"p{index}" for index in range(40)],
        }
    ).to_parquet(model.root / REFERENCE_FILE)
    for index, label in enumerate([names[0], names[1]] * 6):
        (folder / "test" / label).mkdir(parents=True, exist_ok=True)
        (folder / "test" / label / f"{index}.png").write_bytes(film(20_000 + index))
    (folder / "films").mkdir()
    for seed in range(FILMS):
        (folder / "films" / f"surname-{seed:02d}.png").write_bytes(film(seed))
    (folder / "films" / "torn.png").write_bytes(b"\x89PNG torn")
    dial = ["--set=evaluate.risk_dial.accepted=0.05", "--set=evaluate.risk_dial.audit_share=0.5"]
    for command in (
        [
            "evaluate",
            "--model",
            model.root,
            "--data",
            folder / "test",
            "--output",
            folder / "evaluation",
            *QUICK,
            *dial,
        ],
        ["batch", "--input", folder / "films", "--model", model.root, "--output", folder / "readings.parquet"],
    ):
        done = secondread(*command)
        assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def readings(room: Path) -> list[dict[str, Any]]:
    return list(pd.read_parquet(room / "readings.parquet").to_dict("records"))


@pytest.fixture
def close(room: Path, tmp_path: Path) -> Callable[..., Result]:
    """Close the day's studies: `close([("path", "label"), ...])`."""

    def run(first: list[tuple[str, str]], *options: object, evaluation: Path = room / "evaluation") -> Result:
        write(tmp_path / "first.csv", first)
        given = ["--first", tmp_path / "first.csv", "--evaluation", evaluation, "--output", tmp_path / "worklist"]
        return secondread("second-read", "close", room / "readings.parquet", *given, *options)

    return run


def write(path: Path, rows: list[tuple[str, str]], key: str = "path") -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([(key, "label"), *rows])


def test_a_days_studies_are_closed_or_sent_on_and_some_of_the_closed_are_drawn(
    close: Callable[..., Result], readings: list[dict[str, Any]], tmp_path: Path, room: Path
) -> None:
    first = [(each["path"], each["label"]) for each in readings if each["label"]]
    first[0] = (first[0][0], "other")
    done = close(first[:-1], "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert (document["studies"], document["closed"]) == (FILMS + 1, FILMS - 2)
    assert {why: count for why, count in document["escalated"].items() if count} == {
        "could not be read": 1,
        "disagreement": 1,
        "no first reading": 1,
    }
    assert document["digest"] == document["seed"] == ModelFolder.open(room / "model").digest()
    rows = rows_of(tmp_path / "worklist" / "worklist.csv")
    assert [row["path"] for row in rows] == [each["path"] for each in readings]
    assert rows[0]["reason"] == "disagreement"
    assert rows[1]["image_id"] == sha256_file(room / "films" / rows[1]["path"])
    drawn = [row for row in rows if row["audit"]]
    assert 10 < len(drawn) == document["audited"] < 50
    assert all(row["decision"] == "closed" and float(row["lot"]) < 0.5 for row in drawn)


def test_people_are_told_the_same_and_no_name_of_a_file(
    close: Callable[..., Result], readings: list[dict[str, Any]]
) -> None:
    done = close([(each["path"], each["label"]) for each in readings if each["label"]])
    assert done.exit_code == 0, done.output
    assert "60: both agree, at a confidence from 0.0000 on" in done.output
    assert "1: 1 could not be read" in done.output
    assert "5.00% wrong closures, of all studies" in done.output
    assert "surname" not in done.output


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("wrong", "code"), [(0, 0), (24, 4)])
def test_the_truth_of_the_drawn_studies_says_whether_the_promise_is_kept(
    close: Callable[..., Result], readings: list[dict[str, Any]], tmp_path: Path, wrong: int, code: int
) -> None:
    close([(each["path"], each["label"]) for each in readings if each["label"]])
    form = tmp_path / "worklist" / "audit.csv"
    before = secondread("second-read", "audit", tmp_path / "worklist")
    assert before.exit_code == 0, before.output
    assert "too few yet: 0 of" in before.output
    said = {each["image_id"]: each["label"] for each in readings}
    rows = rows_of(form)
    filled = [(row["image_id"], "other" if index < wrong else said[row["image_id"]]) for index, row in enumerate(rows)]
    write(form, filled, key="image_id")
    after = secondread("second-read", "audit", tmp_path / "worklist", "--json")
    document = json.loads(after.stdout)
    assert (document["read"], document["wrong"], document["drawn"]) == (len(rows), wrong, len(rows))
    assert document["verdict"] == ("alarm" if code else "too few yet")  # a day's studies clear nobody
    if code:
        assert isinstance(after.exception, GateRefused)
        assert after.exception.exit_code == code
        assert "the promise of at most 5.00% wrong closures is broken: 24 of" in str(after.exception)


def test_the_truth_may_be_a_file_of_ones_own_with_more_than_was_drawn(
    close: Callable[..., Result], readings: list[dict[str, Any]], tmp_path: Path
) -> None:
    read = [(each["path"], each["label"]) for each in readings if each["label"]]
    close(read)
    write(tmp_path / "truth.csv", read)
    done = secondread("second-read", "audit", tmp_path / "worklist", "--truth", tmp_path / "truth.csv")
    assert done.exit_code == 0, done.output
    drawn = len((tmp_path / "worklist" / "audit.csv").read_text().splitlines()) - 1
    assert f"{drawn}; {FILMS - drawn} others were not drawn, and do not count" in done.output
    twice = ["--truth", tmp_path / "truth.csv"] * 2
    done = secondread("second-read", "audit", tmp_path / "worklist", *twice)
    assert f"{FILMS} images of" in str(done.exception)
    assert "in another such file as well" in str(done.exception)


def test_bad_input_is_one_line_and_exit_code_2_and_writes_nothing(
    close: Callable[..., Result], readings: list[dict[str, Any]], tmp_path: Path, room: Path
) -> None:
    read = [(each["path"], each["label"]) for each in readings if each["label"]]
    other = tmp_path / "other-evaluation"
    shutil.copytree(room / "evaluation", other)
    document = json.loads((other / "evaluation.json").read_text())
    (other / "evaluation.json").write_text(json.dumps({**document, "digest": "0" * 64}))
    for done, words in (
        (close([*read, ("elsewhere.png", "cxr-normal")]), "row 61: this image is not among those that were read"),
        (close([*read, read[0]]), "row 61: this image is there twice"),
        (close([(read[0][0], "covid")]), "row 1: 'covid' is no class of the model"),
        (close(read, evaluation=other), "of another model (000000000000) than the readings"),
        (close(read, evaluation=tmp_path), "evaluation.json is missing"),
        (close(read, "--seed", "a\nb"), "seed must be a printable text"),
    ):
        assert isinstance(done.exception, InputError), done.output
        assert done.exception.exit_code == 2
        assert words in str(done.exception)
        assert not (tmp_path / "worklist").exists()


def test_a_film_that_was_read_twice_is_refused(room: Path, readings: list[dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    for name in ("one.png", "again.png"):
        shutil.copy(room / "films" / readings[0]["path"], tmp_path / "films" / name)
    table = tmp_path / "readings.parquet"
    secondread("batch", "--input", tmp_path / "films", "--model", room / "model", "--output", table)
    write(tmp_path / "first.csv", [("one.png", "cxr-normal")])
    given = ["--first", tmp_path / "first.csv", "--evaluation", room / "evaluation", "--output", tmp_path / "worklist"]
    done = secondread("second-read", "close", table, *given)
    assert f"image {readings[0]['image_id'][:12]} is in the readings 2 times" in str(done.exception)
