"""How the number of users goes over time."""

import pytest

from secondread.config.loadtest import SHAPES, LoadTestConfig
from secondread.serving.load.shape import users_at


def course(shape: str, *, users: int = 10, seconds: float = 60) -> list[int | None]:
    config = LoadTestConfig(shape=shape, users=users, seconds=seconds)
    return [users_at(second, config) for second in range(0, 61, 10)]


def test_constant_load_is_all_of_them_until_the_end() -> None:
    assert course("constant") == [10, 10, 10, 10, 10, 10, None]


def test_a_ramp_rises_from_one_and_stays_up_for_a_third() -> None:
    assert course("ramp") == [1, 3, 5, 8, 10, 10, None]


def test_a_spike_comes_from_a_fifth_all_at_once_and_goes_again() -> None:
    assert course("spike") == [2, 2, 10, 10, 2, 2, None]


def test_a_soak_rises_at_first_and_stays() -> None:
    assert course("soak", users=100) == [1, *[100] * 5, None]
    assert users_at(1.5, LoadTestConfig(shape="soak", users=100, seconds=60)) == 50


@pytest.mark.parametrize("shape", SHAPES)
def test_there_is_always_somebody_and_never_more_than_asked(shape: str) -> None:
    for users in (1, 2, 7):
        config = LoadTestConfig(shape=shape, users=users, seconds=3)
        counts = [users_at(tick / 100, config) for tick in range(300)]
        assert None not in counts
        assert max(count or 0 for count in counts) == users
        assert min(count or 0 for count in counts) >= 1
        assert users_at(3, config) is None


def test_a_shape_lasts_as_long_as_it_needs_unless_somebody_says() -> None:
    lengths = {shape: LoadTestConfig(shape=shape).duration_seconds for shape in SHAPES}
    assert lengths == {"constant": 20, "ramp": 60, "spike": 60, "soak": 1800}
    assert LoadTestConfig(shape="soak", seconds=7.5).duration_seconds == 7.5
