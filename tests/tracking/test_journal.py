"""A list that survives being killed in the middle of a line."""

from pathlib import Path

import pytest

from secondread.errors import DependencyError
from secondread.tracking.journal import Journal


def texts(journal: Journal) -> list[str]:
    return [entry["text"] for entry, _ in journal.unsent()]


def test_what_was_written_is_read_in_order_by_another(tmp_path: Path) -> None:
    for text in "abc":
        Journal(tmp_path / "list.jsonl").append({"text": text})
    assert texts(Journal(tmp_path / "list.jsonl")) == ["a", "b", "c"]


def test_what_was_sent_is_not_given_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "list.jsonl")
    for text in "abc":
        journal.append({"text": text})
    (_, first_end), *_ = journal.unsent()
    journal.acknowledge(first_end)
    assert texts(Journal(tmp_path / "list.jsonl")) == ["b", "c"]
    journal.append({"text": "d"})
    assert texts(journal) == ["b", "c", "d"]


def test_a_line_that_was_cut_is_left_out_and_spares_the_next(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "list.jsonl")
    journal.append({"text": "a"})
    with journal.path.open("ab") as file:
        file.write(b'{"text": "b')
    assert texts(journal) == ["a"]
    journal.append({"text": "c"})
    assert texts(journal) == ["a", "c"]


def test_numbers_come_back_as_they_were(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "list.jsonl")
    journal.append({"value": 0.1 + 0.2, "none": float("inf")})
    ((entry, _),) = journal.unsent()
    assert entry == {"value": 0.1 + 0.2, "none": float("inf")}


def test_a_disk_that_takes_nothing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DependencyError, match=r"cannot write .*nowhere.list\.jsonl: No such file"):
        Journal(tmp_path / "nowhere" / "list.jsonl").append({})
