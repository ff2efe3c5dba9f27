"""A recorded observation comes back as it was, what is not known included; what is no observation is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from secondread.errors import IntegrityError
from secondread.rollout.analysis.observations import Agreement, Histogram, Observation, Side, Split
from secondread.rollout.record.log import append, from_line, read, to_line
from tests.rollout.seen import window

WHOLE = window(3, shadow=Agreement(10.0, 2.5), checks={"load_test": True})


@pytest.mark.parametrize("observation", [WHOLE, Observation(0.0, 0.1), Observation(0.0, 1.0, canary=Side(requests={}))])
def test_a_line_is_what_was_seen(observation: Observation) -> None:
    line = to_line(observation)
    assert b"\n" not in line
    assert from_line(line, Observation) == observation


def test_lines_are_read_in_their_order_and_one_that_was_not_ended_is_written_over(tmp_path: Path) -> None:
    path, other = tmp_path / "observations.jsonl", Observation(0.0, 0.1)
    assert list(read(path, Observation)) == []
    append(path, WHOLE)
    with path.open("ab") as file:
        file.write(to_line(other)[:-5])
    assert list(read(path, Observation)) == [WHOLE]
    append(path, other)
    assert list(read(path, Observation)) == [WHOLE, other]


def test_not_known_is_not_zero() -> None:
    unknown, none = Side(), Side(requests={}, out_of_distribution=0.0, restarts=0.0)
    assert unknown != none
    assert from_line(b'{"ready":true,"restarts":0.0}', Side).restarts == 0.0  # as records have it that were kept before
    assert from_line(b'{"ready":true,"restarts":null}', Side).restarts is None
    assert unknown.total is unknown.failed is unknown.refused is unknown.images is None
    assert (none.total, none.failed) == (0.0, 0.0)


def test_statuses_are_failures_refusals_or_neither() -> None:
    side = Side(requests={"200": 5.0, "400": 1.0, "413": 1.0, "499": 2.0, "500": 3.0, "503": 4.0})
    assert (side.total, side.failed, side.refused) == (16.0, 9.0, 2.0)


def test_what_may_be_above_a_limit_counts() -> None:
    histogram = Histogram((0.1, 0.5), (7.0, 2.0, 1.0))
    assert [histogram.slower_than(limit) for limit in (0.05, 0.1, 0.3, 0.5, 9.0)] == [10.0, 3.0, 3.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "Invalid JSON"),
        ('{"start": 0}', "end: Field required"),
        ('{"start": 1, "end": 1}', "a window must end after it starts"),
        (
            '{"start": 0, "end": 1, "split": {"stable": -1, "canary": 0}}',
            "a count must be a number that is not negative",
        ),
        ('{"start": 0, "end": 1, "canary": {"requests": {"OK": 1}}}', "by HTTP status"),
        ('{"start": 0, "end": 1, "canary": {"seconds": {"bounds": [1], "counts": [1]}}}', "1 bounds make 2 buckets"),
        ('{"start": 0, "end": 1, "canary": {"seconds": {"bounds": [2, 1], "counts": [1, 1, 1]}}}', "must ascend"),
        ('{"start": 0, "end": 1, "shadow": {"total": 1, "different": 2}}', "not negative"),
    ],
)
def test_a_damaged_line_is_named(line: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "observations.jsonl"
    path.write_bytes(to_line(WHOLE) + f"\n{line}\n".encode())
    with pytest.raises(IntegrityError, match=says) as error:
        list(read(path, Observation))
    assert f"{path} line 2: " in str(error.value)
    assert "\n" not in str(error.value)


def test_counts_may_be_parts_of_one() -> None:
    assert Split(0.5, 0.25).canary == 0.25
