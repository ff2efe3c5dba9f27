"""`make bench`: its figures are all there and in the docs, one can be measured again, and ratios are true."""

from __future__ import annotations

import json
import math
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import results
from benchmarks.catalogue import BENCHMARKS, GROUPS, KEYS, UNMEASURED, Benchmark, select
from benchmarks.machine import commit, machine
from benchmarks.measure import Measurement, paired_ratio
from benchmarks.workplace import ROOT, Workplace
from secondread.errors import InputError

PUBLISHED = results.read(command.RESULTS)


def test_every_figure_was_measured_or_is_said_to_be_missing() -> None:
    missing = [key for key in KEYS if key not in PUBLISHED]
    assert [*PUBLISHED] == [key for key in KEYS if key not in missing]
    page = command.PAGE.read_text(encoding="utf-8")
    said = page.partition("Not measured so far:")[2]
    assert [key for key in KEYS if f"`make bench KEY={key}`" in said] == missing
    assert all(UNMEASURED[key] for key in missing), "what every machine measures in minutes is measured"


def test_the_page_says_what_a_figure_needs_that_is_not_there() -> None:
    page = results.page({key: row for key, row in PUBLISHED.items() if key != "quantize.int8.size_share"})
    assert re.search(r"\| `make bench KEY=quantize\.int8\.size_share` \|  \|", page)
    assert re.search(r"KEY=train\.gpu\.images_per_second` \| needs a GPU", page)
    assert all(benchmark.needs or not benchmark.missing() for benchmark in BENCHMARKS)


@pytest.mark.parametrize("key", PUBLISHED)
def test_a_figure_says_what_how_where_and_of_what(key: str) -> None:
    row = PUBLISHED[key]
    assert {name: type(value) for name, value in row.items()} == results.FIELDS
    assert math.isfinite(row["value"])
    assert row["value"] > 0 or row["unit"] in ("points", "share")
    assert row["n"] > 0
    assert row["peer"]
    assert row["command"] == f"make bench KEY={key}"
    assert re.fullmatch(r"[0-9a-f]{12}(-dirty)?", row["commit"])
    assert re.search(r" CPUs, \d+ GiB, Python 3\.\d+\.\d+, onnxruntime \d", row["machine"])


def test_the_page_in_the_docs_is_made_from_the_results() -> None:
    assert command.PAGE.read_text(encoding="utf-8") == results.page(PUBLISHED), "run `python -m benchmarks --page`"


@pytest.mark.parametrize(("option", "known"), [("--key", KEYS), ("--only", GROUPS)])
def test_what_is_not_known_is_refused_with_what_is(option: str, known: Sequence[str]) -> None:
    before = command.RESULTS.read_bytes()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", option, "data.nothing"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "'data.nothing'" in done.stderr
    assert all(each in done.stderr for each in known)
    assert command.RESULTS.read_bytes() == before


def test_a_key_or_a_group_picks_what_measures_it() -> None:
    assert [benchmark for benchmark, _ in select()] == [each for each in BENCHMARKS if not each.apart]
    assert [each.apart for each, _ in select(group="scale")] == ["scale"] * 3
    [(benchmark, keys)] = select(key="quantize.int8.size_share")
    assert keys == {"quantize.int8.size_share"}
    assert keys < set(benchmark.figures)
    assert {key for _, keys in select(group="serve") for key in keys} == {k for k in KEYS if k.startswith("serve.")}
    with pytest.raises(InputError, match="no group 'x'"):
        select(group="x")


def test_measuring_one_figure_keeps_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written, page = tmp_path / "results.json", tmp_path / "benchmarks.md"
    monkeypatch.setattr(command, "RESULTS", written)
    monkeypatch.setattr(command, "PAGE", page)
    written.write_text(json.dumps({"gone.long_ago": {}} | PUBLISHED), encoding="utf-8")
    key, other = "quantize.int8.speedup_batch_1", "quantize.int8.size_share"
    figures = [Measurement(key, 1.23456, "x", "a peer", 3), Measurement(other, 9.9, "share", "a peer", 3)]
    fake = Benchmark(lambda _: figures, {key: "", other: ""})
    fresh = command.run([(fake, frozenset({key}))], tmp_path / "bench")
    assert fresh[key]["value"] == 1.235
    assert results.read(written) == {**PUBLISHED, key: fresh[key]}
    assert page.read_text(encoding="utf-8") == results.page(results.read(written))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "1 of 1" in captured.err


def test_the_page_keeps_machines_and_commits_apart() -> None:
    row = {"value": 2.0, "unit": "x", "peer": "p", "n": 1, "command": "c", "commit": "a", "machine": "m"}
    page = results.page({KEYS[0]: row, KEYS[1]: row | {"machine": "other"}, KEYS[2]: row})
    assert page.count("Measured on m; commit `a`") == 1
    assert page.count("Measured on other; commit `a`") == 1
    assert page.count("| 2.00x |  | p | 1 | `c` |") == 3


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (2.345, "x", "2.35x"),
        (361.5, "x", "362x"),
        (0.3391, "share", "33.9%"),
        (0.0, "points", "0.00 points"),
        (-0.21, "points", "-0.21 points"),
        (1234.0, "images/s", "1,234 images/s"),
        (4.44, "images/s", "4.4 images/s"),
    ],
)
def test_values_are_shown_with_their_unit(value: float, unit: str, text: str) -> None:
    assert results.shown({"value": value, "unit": unit}) == text


def test_a_ratio_is_that_of_the_work_done(monkeypatch: pytest.MonkeyPatch) -> None:
    now, speed = 0.0, 1.0
    monkeypatch.setattr("time.perf_counter", lambda: now)

    def work(amount: float) -> Callable[[], None]:
        def done() -> None:
            nonlocal now, speed
            now += amount / speed
            speed *= 1.001  # a machine that drifts

        return done

    assert paired_ratio(work(2), work(8), rounds=9) == pytest.approx(4, rel=0.01)
    assert paired_ratio(work(8), work(2), rounds=9) == pytest.approx(0.25, rel=0.01)


def test_the_machine_is_described_and_not_named() -> None:
    assert socket.gethostname() not in machine()
    assert "onnxruntime" in machine()


def test_the_commit_tells_a_changed_tree_from_a_clean_one(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    assert commit(tmp_path) == "unknown"
    (tmp_path / "benchmarks").mkdir()
    for name in ("code.py", "benchmarks/results.json"):
        (tmp_path / name).write_text("1", encoding="utf-8")
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "one")
    clean = commit(tmp_path)
    assert re.fullmatch("[0-9a-f]{12}", clean)
    (tmp_path / "benchmarks/results.json").write_text("2", encoding="utf-8")
    assert commit(tmp_path) == clean
    (tmp_path / "code.py").write_text("2", encoding="utf-8")
    assert commit(tmp_path) == f"{clean}-dirty"


def test_without_public_films_phantoms_are_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECONDREAD_TEST_DATA", str(tmp_path / "nothing"))
    monkeypatch.setattr("benchmarks.films.PHANTOMS", "phantom://cxr?images=10&size=64")
    films = Workplace(tmp_path / "bench").films
    assert "phantom" in films.name
    paths = films.paths(400)
    assert len(paths) == 10
    assert len(films.paths(4)) == 4
    assert all(data.startswith(b"\xff\xd8") for data in films.encoded(3))
    written = [path.stat().st_mtime_ns for path in paths]
    assert [path.stat().st_mtime_ns for path in Workplace(tmp_path / "bench").films.paths(400)] == written
