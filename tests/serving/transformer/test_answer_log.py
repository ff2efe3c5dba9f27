"""What was said of each image is written down for its own user alone, bounded, and never in the way of an answer."""

from __future__ import annotations

import hashlib
import math
import random
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from secondread.errors import InputError
from secondread.serving.transformer import answer_log
from secondread.serving.transformer.answer_log import AnswerLog, older

FIRST, SECOND, THIRD = (hashlib.sha256(bytes([each])).hexdigest() for each in range(3))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "answers.log"


def read(path: Path) -> list[tuple[float, str, str]]:
    """All that there is."""
    return list(answer_log.read(path, 0.0, math.inf))


def write(path: Path, *lines: tuple[float, str, str]) -> None:
    with closing(AnswerLog(path)) as log:
        for at, image_id, label in lines:
            log.add(at, [image_id], [label])


def test_what_was_said_of_each_image_can_be_read_again(path: Path) -> None:
    with closing(AnswerLog(path)) as log:
        log.add(1_767_225_600.1234, [FIRST, SECOND], ["cxr-normal", 'Bild "A"\n\\ größer'])
    assert read(path) == [
        (1_767_225_600.123, FIRST, "cxr-normal"),
        (1_767_225_600.123, SECOND, 'Bild "A"\n\\ größer'),
    ]
    first, _ = path.read_text().splitlines()
    assert first == f'1767225600.123 {FIRST} "cxr-normal"'
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_it_is_written_while_the_server_answers(path: Path, wait_until: Callable[..., None]) -> None:
    with closing(AnswerLog(path)) as log:
        log.add(1.0, [FIRST], ["cxr-normal"])
        wait_until(path.is_file, seconds=60, what="the line to be written")


def test_a_server_that_is_started_again_goes_on(path: Path) -> None:
    write(path, (1.0, FIRST, "cxr-normal"))
    write(path, (2.0, SECOND, "cxr-covid"))
    assert read(path) == [(1.0, FIRST, "cxr-normal"), (2.0, SECOND, "cxr-covid")]


def test_a_full_file_takes_the_place_of_the_older_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_log, "MOST_BYTES", 150)  # two lines
    for at in range(1, 4):
        write(path, (at, FIRST, "cxr-normal"), (at + 0.5, SECOND, "cxr-covid"))
    write(path, (4.0, THIRD, "cxr-normal"))
    assert [at for at, _, _ in read(path)] == [3.0, 3.5, 4.0]
    assert {each.name for each in path.parent.iterdir()} == {path.name, older(path).name}
    assert stat.S_IMODE(older(path).stat().st_mode) == 0o600


def test_of_a_time_every_line_is_read_and_no_other_though_threads_write_them_in_some_disorder(path: Path) -> None:
    chance = random.Random(0)
    times = sorted((at / 10 for at in range(1000)), key=lambda at: at + chance.uniform(0, 0.9))
    write(path, *((at, FIRST, "cxr-normal") for at in times))
    for start, end in ((0.0, 0.1), (20.0, 80.0), (33.3, 33.4), (99.9, 200.0), (-5.0, 0.0), (100.0, 200.0)):
        assert [at for at, *_ in answer_log.read(path, start, end)] == [at for at in times if start <= at < end]


LINE = f'1767225600.123 {FIRST} "cxr-normal \\u00e9"\n'


@pytest.mark.parametrize("length", range(len(LINE)))
def test_a_line_that_was_cut_short_anywhere_is_never_taken_for_another(path: Path, length: int) -> None:
    whole = (1_767_225_601.5, SECOND, "cxr-covid")
    path.write_text(LINE + LINE[:length])
    write(path, whole, whole)
    first, *others = read(path)
    assert first == (1_767_225_600.123, FIRST, "cxr-normal é")
    # what stands right behind a piece of a line may be lost, or have an impossible time, but no other label
    assert others[-1] == whole
    assert all(each == whole or each[0] > 1e10 for each in others[:-1])


def test_a_full_disk_is_said_once_and_holds_up_nobody(
    caplog: pytest.LogCaptureFixture, wait_until: Callable[..., None]
) -> None:
    def warnings() -> list[str]:
        return [each.getMessage() for each in caplog.records if "answer_log" in each.name]

    with closing(AnswerLog(Path("/dev/full"))) as log:  # the device that is always full
        log.add(1.0, [FIRST], ["cxr-normal"])
        wait_until(warnings, seconds=60, what="the warning")
        log.add(2.0, [SECOND], ["cxr-normal"])
    assert warnings() == [
        "/dev/full cannot be written (No space left on device): what is answered meanwhile is not in it"
    ]


def test_a_disk_that_hangs_takes_no_more_than_so_much_memory(path: Path) -> None:
    with closing(AnswerLog(path)) as log:
        log.add(1.0, [FIRST] * 20_000, ["cxr-normal"] * 20_000)
    assert len(read(path)) == 10_000


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no folder .*nowhere: create it"):
        AnswerLog(tmp_path / "nowhere" / "answers.log")


def test_where_nothing_was_written_there_is_nothing_to_read(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read(path)
