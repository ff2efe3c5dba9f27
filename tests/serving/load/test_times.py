"""The file of a load test's requests."""

from pathlib import Path

import pytest

from secondread.errors import DependencyError
from secondread.serving.load.times import TimesWriter, read_times


def write(path: Path, *failures: str, busy: bool = False) -> Path:
    writer = TimesWriter(path)
    for number, failure in enumerate(failures):
        protocol = "gRPC" if number % 2 else "REST"
        writer.note(
            end=1000 + number, milliseconds=500 - 100 * number, protocol=protocol, users=number + 1, failure=failure
        )
    writer.close(callers_busy=busy)
    return path


def test_what_was_written_is_read_again_counted_from_the_first_request_sent(tmp_path: Path) -> None:
    times = read_times(write(tmp_path / "times", "", "503\n busy", "503 busy", ""))
    assert times.ends.tolist() == [0.5, 1.5, 2.5, 3.5]
    assert times.milliseconds.tolist() == [500, 400, 300, 200]
    assert times.protocols.tolist() == [0, 1, 0, 1]
    assert times.users.tolist() == [1, 2, 3, 4]
    assert times.failed.tolist() == [False, True, True, False]
    assert times.failures == {"503 busy": 2}
    assert not times.callers_busy
    assert read_times(write(tmp_path / "times", busy=True)).callers_busy


def test_a_file_without_its_last_line_is_none(tmp_path: Path) -> None:
    path = write(tmp_path / "times", "", "")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(DependencyError, match="before it had written all"):
        read_times(path)


@pytest.mark.parametrize("text", ["[1, 2", "[1, 2]\n", "no JSON\n"])
def test_a_file_that_is_torn_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "times").write_text(text)
    with pytest.raises(DependencyError, match="no times that can be read"):
        read_times(tmp_path / "times")


def test_failures_that_all_differ_do_not_grow_without_end(tmp_path: Path) -> None:
    times = read_times(write(tmp_path / "times", *(f"{'x' * 500} {number}" for number in range(3)), "a" * 900))
    assert max(map(len, times.failures)) == 200
    times = read_times(write(tmp_path / "times", *map(str, range(1, 101))))
    assert len(times.failures) == 21
    assert times.failures["other failures"] == 80
    assert sum(times.failures.values()) == 100
