"""Lines of progress in a log."""

import pytest

from secondread.progress import track


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_five_lines_whatever_the_number(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="secondread"):
        assert list(track(range(100), "reading", total=100)) == list(range(100))
    assert lines(caplog) == [f"reading: {done} of 100" for done in (20, 40, 60, 80, 100)]


def test_a_batch_counts_for_its_images(caplog: pytest.LogCaptureFixture) -> None:
    batches = [range(30), range(30), range(30), range(10)]
    with caplog.at_level("INFO", logger="secondread"):
        assert list(track(batches, "reading", total=100, size=len)) == batches
    assert lines(caplog) == [f"reading: {done} of 100" for done in (30, 60, 90, 100)]
