"""Of the images that both versions read, those of a window, and how many they read differently."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from secondread.rollout.analysis.observations import Agreement
from secondread.rollout.splitters.agreement import SLACK_SECONDS, agreement
from secondread.serving.transformer.answer_log import AnswerLog, older

START = 1_767_225_600.0
END = START + 60
IN = START  # of the window, that begins and ends SLACK_SECONDS earlier

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes what a version said: when, of which image, which label."""

    def written(version: str, *answers: tuple[float, int, str]) -> Path:
        path = tmp_path / version
        with closing(AnswerLog(path)) as log:
            for at, image, label in answers:
                log.add(at, [hashlib.sha256(bytes([image])).hexdigest()], [label])
        return path

    return written


def test_images_that_both_read_are_counted_and_those_that_they_read_differently(write: Write) -> None:
    stable = write("3", (IN, 1, "normal"), (IN + 1, 2, "covid"), (IN + 2, 3, "normal"), (IN + 3, 4, "normal"))
    candidate = write("4", (IN + 0.1, 1, "normal"), (IN + 1.1, 2, "normal"), (IN + 2.1, 3, "normal"), (IN, 5, "covid"))
    assert agreement(stable, candidate, START, END) == Agreement(total=3, different=1)


@pytest.mark.parametrize("late", [-4.9, 0.0, 4.9])
def test_the_candidates_answer_may_come_a_little_before_or_after(write: Write, late: float) -> None:
    first, last = START - SLACK_SECONDS, END - SLACK_SECONDS - 0.001
    stable = write("3", (first, 1, "normal"), (last, 2, "normal"))
    candidate = write("4", (first + late, 1, "normal"), (last + late, 2, "covid"))
    assert agreement(stable, candidate, START, END) == Agreement(2, 1)


def test_in_windows_that_follow_one_another_each_image_is_counted_once(write: Write) -> None:
    chance = random.Random(0)
    times = sorted(chance.uniform(START, START + 300) for _ in range(200))
    stable = write("3", *((at, image, "normal") for image, at in enumerate(times)))
    candidate = write("4", *((at + chance.uniform(-1, 4), image, "covid") for image, at in enumerate(times)))
    ends = [START, *sorted(chance.uniform(START, START + 300) for _ in range(5)), START + 310]
    found = [agreement(stable, candidate, start, end) for start, end in pairwise(ends)]
    assert sum(each.total for each in found if each) == 200
    assert sum(each.different for each in found if each) == 200


def test_an_image_that_was_asked_again_counts_once_with_what_was_said_last(write: Write) -> None:
    stable = write("3", *((IN + at, 1, "normal") for at in range(10)))
    candidate = write("4", *((IN + at, 1, "covid") for at in range(9)), (IN + 9, 1, "normal"))
    assert agreement(stable, candidate, START, END) == Agreement(1, 0)


def test_what_lies_in_the_older_file_is_counted_too(write: Write) -> None:
    stable = write("3", (IN, 1, "normal"))
    stable.replace(older(stable))
    write("3", (IN + 1, 2, "normal"))
    candidate = write("4", (IN, 1, "covid"), (IN + 1, 2, "normal"))
    assert agreement(stable, candidate, START, END) == Agreement(2, 1)


def test_a_file_that_is_just_becoming_the_older_one_is_not_missed(write: Write) -> None:
    stable = write("3", (IN, 1, "normal"))
    stable.replace(older(stable))
    assert agreement(stable, write("4", (IN, 1, "normal")), START, END) == Agreement(1, 0)


def test_both_read_but_nothing_that_is_the_same(write: Write) -> None:
    found = agreement(write("3", (IN, 1, "normal")), write("4", (IN, 2, "normal")), START, END)
    assert found == Agreement(0, 0)


def test_nothing_is_known_where_one_of_them_wrote_nothing(write: Write, tmp_path: Path) -> None:
    stable, candidate = write("3", (IN, 1, "normal")), write("4", (IN, 1, "normal"))
    assert agreement(stable, tmp_path / "nowhere", START, END) is None
    assert agreement(tmp_path / "nowhere", candidate, START, END) is None
    assert agreement(stable, candidate, START + 600, END + 600) is None


def test_files_that_cannot_be_read_are_told(
    write: Write, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stable, candidate = write("3", (IN, 1, "normal")), write("4", (IN, 1, "normal"))

    def forbidden(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", forbidden)
    assert agreement(stable, candidate, START, END) is None
    (said,) = [each.getMessage() for each in caplog.records if each.name.endswith("agreement")]
    assert "is not known: [Errno 13] Permission denied" in said
