"""Times and shares as people read them."""

import pytest

from secondread.rollout.view.amounts import clock, duration, moment, one_line, share


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (45, "45 s"),
        (90, "1 min 30 s"),
        (660.2, "11 min"),
        (3599, "1 h"),
        (9300, "2 h 35 min"),
        (90_000, "1 d 1 h"),
        (86_460, "1 d"),
        (-5, "0 s"),
    ],
)
def test_a_duration_has_its_largest_unit_and_the_next(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_a_share_of_nothing_is_not_known() -> None:
    assert share(0, 0) == share(None, 5) == share(5, None) == "not known"
    assert share(1, 3) == "33.33 %"


def test_a_time_is_utc() -> None:
    assert (moment(0), clock(3661)) == ("1970-01-01 00:00 UTC", "01:01:01")


def test_text_from_outside_speaks_to_no_terminal() -> None:
    assert one_line("a\x1b[31m\nb\u202e  c") == "a\ufffd[31m b\ufffd c"
