"""The reading room, against queueing theory and rooms that can be reckoned by hand."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from secondread.config.evaluate import EvaluateConfig
from secondread.config.workload import WorkloadConfig
from secondread.errors import InputError
from secondread.evaluation.reading_room.workload import Workload, queue, workload

URGENCY = ("urgent", "routine", "unknown")
QUICK = WorkloadConfig(days=100, hours=4)


def answers(images: int = 120, *, accuracy: float = 0.9, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels in turn, and a model that is right with that chance, always with a confidence of 0.8."""
    rng = np.random.default_rng(seed)
    labels = np.arange(images) % 3
    called = np.where(rng.random(images) < accuracy, labels, (labels + 1) % 3)
    return 0.7 * np.eye(3)[called] + 0.1, labels


def simulated(room: WorkloadConfig = QUICK, *, accuracy: float = 0.9, at_least: float = 0.5, seed: int = 0) -> Workload:
    probabilities, labels = answers(accuracy=accuracy)
    return workload(
        probabilities,
        labels,
        np.arange(len(labels)) // 2,
        urgency=URGENCY,
        confidence_at_least=at_least,
        room=room,
        config=EvaluateConfig(seed=seed),
    )


def arrivals(studies: int, rate: float, *, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Times of a Poisson process, and reading times of one minute on average."""
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.exponential(1 / rate, studies)), rng.exponential(1.0, (2, studies))


def test_a_room_by_hand() -> None:
    """One physician, four studies at once: the urgent third goes first, the first one comes back once."""
    minutes = np.array([[1.0, 2, 3, 4], [10, 20, 30, 40]])
    done = queue(
        np.array([0.0, 0.1, 0.2, 0.3]),
        minutes,
        ahead=np.array([False, False, True, False]),
        again=np.array([True, False, False, False]),
        physicians=1,
    )
    assert done.tolist() == [[1, 6, 4, 10], [20, math.inf, math.inf, math.inf]]


def test_nobody_waits_where_there_are_as_many_physicians_as_studies() -> None:
    ready, minutes = arrivals(50, 5.0)
    none = np.zeros(50, dtype=bool)
    done = queue(ready, minutes, ahead=none, again=none, physicians=50)
    assert done[0] == pytest.approx(ready + minutes[0])


@pytest.mark.parametrize(("physicians", "rate"), [(1, 0.7), (3, 2.4)])
def test_waiting_is_what_erlang_says(physicians: int, rate: float) -> None:
    """M/M/c, first come first served: mean wait and the share that waits, by Erlang's C formula."""
    ready, minutes = arrivals(60_000, rate)
    none = np.zeros(60_000, dtype=bool)
    waited = queue(ready, minutes, ahead=none, again=none, physicians=physicians)[0] - ready - minutes[0]
    busy = rate / physicians
    last = rate**physicians / math.factorial(physicians) / (1 - busy)
    waits = last / (sum(rate**number / math.factorial(number) for number in range(physicians)) + last)
    assert (waited > 1e-9).mean() == pytest.approx(waits, rel=0.05)
    assert waited.mean() == pytest.approx(waits / (physicians - rate), rel=0.1)


def test_waiting_of_what_goes_first_is_what_cobham_says() -> None:
    """M/M/1 with two priorities that do not break off a reading: Cobham 1954, doi:10.1287/opre.2.1.70."""
    ready, minutes = arrivals(60_000, 0.8)
    ahead = np.random.default_rng(2).random(60_000) < 0.25
    waited = queue(ready, minutes, ahead=ahead, again=~(ahead | True), physicians=1)[0] - ready - minutes[0]
    assert waited[ahead].mean() == pytest.approx(0.8 / (1 - 0.2), rel=0.1)
    assert waited[~ahead].mean() == pytest.approx(0.8 / (1 - 0.2) / (1 - 0.8), rel=0.15)


def test_a_second_reading_is_one_more_study_for_the_room() -> None:
    """Every study comes back: the room is as busy as with twice as many (Burke 1956: as random as new ones)."""
    ready, minutes = arrivals(60_000, 0.35)
    every = np.ones(60_000, dtype=bool)
    done = queue(ready, minutes, ahead=~every, again=every, physicians=1)
    assert (done[1] - ready).mean() == pytest.approx(2 / (1 - 0.7), rel=0.1)


def test_the_share_without_a_second_reader_is_that_of_the_formula() -> None:
    """One physician: from arrival to the end it takes an exponential time of rate 1 / minutes - arrivals."""
    room = WorkloadConfig(arrivals_per_hour=6, minutes_per_study=2, physicians=1, hours=40, days=100)
    found = simulated(room)
    expected = 0.9 * (1 - math.exp(-(1 / 2 - 6 / 60)))
    assert found.physicians_alone.value == pytest.approx(expected, abs=0.02)
    assert found.busy_alone.value == pytest.approx(6 / 60 * 2, abs=0.01)
    assert found.studies == pytest.approx(6 * 40 * 100, rel=0.05)
    assert found.urgent == pytest.approx(0.1 * found.studies, rel=0.1)


def test_in_a_busy_room_the_order_finds_more_urgent_studies_in_time() -> None:
    room = replace(QUICK, arrivals_per_hour=55)
    found = simulated(room, accuracy=1.0)
    assert found.with_second_reader.value > found.physicians_alone.value + 0.05
    assert found.with_second_reader.low < found.with_second_reader.value < found.with_second_reader.high
    assert found.preliminary.value == 1


def test_a_model_in_doubt_doubles_the_work_and_finds_fewer() -> None:
    quick, slow = simulated(at_least=0.5), simulated(at_least=0.9)
    assert slow.busy_with.value == pytest.approx(2 * slow.busy_alone.value, rel=0.05)
    assert quick.busy_alone.value < quick.busy_with.value < slow.busy_with.value
    assert slow.with_second_reader.value < quick.with_second_reader.value


def test_a_model_that_calls_nothing_right_helps_nobody() -> None:
    found = simulated(accuracy=0.0)
    assert found.preliminary.value == 0
    assert found.with_second_reader.value < found.physicians_alone.value


def test_the_second_readers_own_answer_counts_if_it_is_right_and_in_time() -> None:
    found = simulated()
    probabilities, labels = answers()
    urgent = labels == 0
    right = (probabilities.argmax(axis=1) == labels)[urgent].mean()
    assert found.preliminary.value == pytest.approx(right, abs=0.04)
    assert simulated(replace(QUICK, answer_ms=60_001)).preliminary.value == 0


def test_the_same_seed_gives_the_same_room() -> None:
    assert simulated(seed=4) == simulated(seed=4)
    assert simulated(seed=4) != simulated(seed=5)


@pytest.mark.parametrize(
    ("urgency", "said"),
    [(("unknown",) * 3, "no image is urgent"), (("urgent",) * 3, "no image is routine or unknown")],
)
def test_what_cannot_be_known_is_null_with_a_reason(urgency: tuple[str, ...], said: str) -> None:
    probabilities, labels = answers()
    found = workload(probabilities, labels, labels, urgency=urgency, confidence_at_least=0.5, room=QUICK)
    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert document["reason"].startswith(said)
    for name in ("physicians_alone", "with_second_reader", "preliminary", "busy_alone", "busy_with"):
        assert document[name] == {"value": None, "low": None, "high": None}
    assert document["room"]["physicians"] == 2


def test_bad_input_is_refused() -> None:
    probabilities, labels = answers()
    with pytest.raises(InputError, match="one group an image and one urgency a column"):
        workload(probabilities, labels, labels, urgency=("urgent",), confidence_at_least=0.5)
    with pytest.raises(InputError, match="minutes_per_study must be above 0, not 0"):
        WorkloadConfig(minutes_per_study=0)
    with pytest.raises(InputError, match="days must be at least 100"):
        WorkloadConfig(days=10)
    with pytest.raises(InputError, match="urgent_share must be a share from 0 to 1, not 2"):
        WorkloadConfig(urgent_share=2)
