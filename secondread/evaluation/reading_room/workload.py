"""A reading room on paper: the share of urgent studies that are read correctly within one minute.

Once with a second reader and once without, which was the business metric of the seeds.

Studies come in at random times (Poisson) and wait for the next free physician, who reads each for a random
(exponential) time. Alone, physicians take the oldest study first. With a second reader a study joins the queue once it
has an answer, and what was called urgent goes first; a reading that was begun is not broken off. Where physician and
model differ, or the model is in doubt, the study joins the queue once more for a second physician: the second reader
makes work as well. Both rooms have the same studies, times and physicians.

An urgent study counts once a physician has read it correctly, from arrival to the end of that reading. What the second
reader says of it by itself is a preliminary reading, and stands apart.

What this leaves out: a physician who is called away or reads faster under pressure, more than one kind of film, a
second physician who must not be the first, studies that were not finished the day before. Two wrong readings agree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from heapq import heapify, heappop, heappush
from typing import Any

import numpy as np
import numpy.typing as npt

from secondread.config.evaluate import EvaluateConfig
from secondread.config.workload import WorkloadConfig
from secondread.errors import InputError
from secondread.evaluation.intervals import bootstrap
from secondread.evaluation.intervals.estimate import UNKNOWN, Estimate, resampled
from secondread.evaluation.metrics.arrays import FloatArray, IntArray, check, ratio
from secondread.evaluation.nulls import null_for_nan


@dataclass(frozen=True)
class Workload:
    """Shares of a simulated reading room; the interval is where the share of a day lies, over days and patients.

    All are NaN where the images have no urgent or no other study, or no class is known to be urgent; `reason` says so.

    Attributes:
        room: what was assumed.
        confidence_at_least: from which confidence on agreement closes a study.
        level: of the intervals.
        studies: that came in, over all days.
        urgent: those of them that were urgent.
        physicians_alone: share of the urgent studies that a physician has read correctly in time, first come first
            served.
        with_second_reader: the same, with the order and the second readings that the model brings.
        preliminary: share of the urgent studies to which the second reader itself gave the right class in time.
        busy_alone, busy_with: share of the physicians' time that the readings of a day take; above 1 the queue grows
            all day long.
        reason: why there are no figures; empty where there are.
    """

    room: WorkloadConfig
    confidence_at_least: float
    level: float
    studies: int
    urgent: int
    physicians_alone: Estimate
    with_second_reader: Estimate
    preliminary: Estimate
    busy_alone: Estimate
    busy_with: Estimate
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """As JSON; null for what cannot be known."""
        document: dict[str, Any] = null_for_nan(asdict(self))
        return document


def workload(
    probabilities: FloatArray,
    labels: IntArray,
    groups: npt.NDArray[Any],
    *,
    urgency: Sequence[str],
    confidence_at_least: float,
    room: WorkloadConfig | None = None,
    config: EvaluateConfig | None = None,
) -> Workload:
    """Simulate days of a reading room whose studies are drawn from these images.

    Args:
        probabilities: float (images, classes), rows sum to 1.
        labels: int (images,), class indices.
        groups: (images,), the patient of each image, or the image itself where patients are not known.
        urgency: `urgent`, `routine` or `unknown` for each class; only `urgent` is.
        confidence_at_least: confidence from which on agreement closes a study.
        room: the assumptions.
        config: seed and level.
    Raises:
        InputError: the arrays do not fit, or are no probabilities.
    """
    room, config = room or WorkloadConfig(), config or EvaluateConfig()
    check(probabilities, labels)
    if len(groups) != len(labels) or len(urgency) != probabilities.shape[1]:
        raise InputError(
            f"{len(groups)} groups and {len(urgency)} urgencies do not fit probabilities {probabilities.shape}: give "
            "one group an image and one urgency a column."
        )
    urgent_class = np.array([each == "urgent" for each in urgency])
    pool = _Pool.of(probabilities, labels, urgent_class, confidence_at_least)
    facts: dict[str, Any] = {"room": room, "confidence_at_least": confidence_at_least, "level": config.level}
    if not pool.urgent.any() or pool.urgent.all():
        missing = "urgent" if not pool.urgent.any() else "routine or unknown"
        reason = f"no image is {missing}: nothing can be put before anything else."
        facts |= dict.fromkeys(_FIGURES, UNKNOWN)
        return Workload(**facts, studies=0, urgent=0, reason=reason)
    rng = np.random.default_rng([config.seed, 1])  # not the numbers that draw the patients
    days = [
        _day(pool, weights, room, rng)
        for part in bootstrap.draws(groups, resamples=room.days, seed=config.seed)
        for weights in part
    ]
    return Workload(**facts, **_summary(days, config.level))


_FIGURES = ("physicians_alone", "with_second_reader", "preliminary", "busy_alone", "busy_with")


@dataclass(frozen=True)
class _Pool:
    """The images that studies are drawn from, bool (images,) each."""

    urgent: npt.NDArray[np.bool_]
    called_urgent: npt.NDArray[np.bool_]
    right: npt.NDArray[np.bool_]
    confident: npt.NDArray[np.bool_]

    @classmethod
    def of(
        cls, probabilities: FloatArray, labels: IntArray, urgent_class: npt.NDArray[np.bool_], at_least: float
    ) -> _Pool:
        answers = probabilities.argmax(axis=1)
        return cls(
            urgent=urgent_class[labels],
            called_urgent=urgent_class[answers],
            right=np.asarray(answers == labels),
            confident=probabilities.max(axis=1) >= at_least,
        )

    def draw(
        self, studies: int, weights: npt.NDArray[np.int64], urgent_share: float, rng: np.random.Generator
    ) -> npt.NDArray[np.intp]:
        """Images of some studies, int (studies,); none where the drawn patients have no urgent or no other image."""
        found = np.empty(studies, dtype=np.intp)
        urgent = rng.random(studies) < urgent_share
        for side in (True, False):
            wanted = weights * (self.urgent == side)
            if not wanted.any():
                return np.empty(0, dtype=np.intp)
            count = int((urgent == side).sum())
            found[urgent == side] = rng.choice(len(weights), size=count, p=wanted / wanted.sum())
        return found


@dataclass(frozen=True)
class _Day:
    """Counts of urgent studies, and the physicians' time."""

    studies: int
    urgent: int
    alone: int
    with_model: int
    preliminary: int
    busy_alone: float
    busy_with: float


def _day(pool: _Pool, weights: npt.NDArray[np.int64], room: WorkloadConfig, rng: np.random.Generator) -> _Day:
    """One day, in both rooms."""
    opened = 60 * room.hours
    images = pool.draw(int(rng.poisson(room.arrivals_per_hour * room.hours)), weights, room.urgent_share, rng)
    arrived = np.sort(rng.random(len(images)) * opened)
    minutes = rng.exponential(room.minutes_per_study, size=(2, len(images)))
    read_right = rng.random((2, len(images))) < room.correct_share
    urgent, model_right = pool.urgent[images], pool.right[images]
    again = (read_right[0] != model_right) | ~pool.confident[images]
    never = np.zeros(len(images), dtype=np.bool_)
    alone = queue(arrived, minutes, ahead=never, again=never, physicians=room.physicians)
    answered = arrived + room.answer_ms / 60_000
    both = queue(answered, minutes, ahead=pool.called_urgent[images], again=again, physicians=room.physicians)
    in_time = [read_right & (done - arrived <= room.within_minutes) for done in (alone, both)]
    preliminary = model_right & (room.answer_ms / 60_000 <= room.within_minutes)
    there = room.physicians * opened
    return _Day(
        studies=len(images),
        urgent=int(urgent.sum()),
        alone=int((in_time[0].any(axis=0) & urgent).sum()),
        with_model=int((in_time[1].any(axis=0) & urgent).sum()),
        preliminary=int((preliminary & urgent).sum()),
        busy_alone=float(minutes[0].sum()) / there,
        busy_with=float(minutes[0].sum() + minutes[1][again].sum()) / there,
    )


def queue(
    ready: npt.NDArray[np.float64],
    minutes: npt.NDArray[np.float64],
    *,
    ahead: npt.NDArray[np.bool_],
    again: npt.NDArray[np.bool_],
    physicians: int,
) -> npt.NDArray[np.float64]:
    """When each reading is done, if whoever is free takes the study that has waited longest, those ahead first.

    Args:
        ready: float64 (studies,), minutes; when each joins the queue.
        minutes: float64 (2, studies), how long its first and second reading take.
        ahead: bool (studies,), goes before those that are not.
        again: bool (studies,), joins once more when its first reading is done, for a second one.
        physicians: how many read.
    Returns:
        float64 (2, studies), minutes; infinite where there is no second reading.
    """
    coming = [(time, study, 0) for study, time in enumerate(ready.tolist())]
    heapify(coming)
    behind, lengths, twice = (~ahead).tolist(), minutes.tolist(), again.tolist()
    waiting: list[tuple[bool, float, int, int]] = []
    free = [0.0] * physicians
    done = np.full(minutes.shape, math.inf)
    while coming or waiting:
        now = heappop(free)
        if not waiting:
            now = max(now, coming[0][0])
        while coming and coming[0][0] <= now:
            since, study, turn = heappop(coming)
            heappush(waiting, (behind[study], since, study, turn))
        _, _, study, turn = heappop(waiting)
        end = now + lengths[turn][study]
        done[turn, study] = end
        heappush(free, end)
        if turn == 0 and twice[study]:
            heappush(coming, (end, study, 1))
    return done


def _summary(days: Sequence[_Day], level: float) -> dict[str, Any]:
    """Shares over all days, with the interval of one day's."""
    urgent = np.array([day.urgent for day in days], dtype=np.float64)
    found: dict[str, Any] = {"studies": sum(day.studies for day in days), "urgent": int(urgent.sum())}
    for name, counted in (("physicians_alone", "alone"), ("with_second_reader", "with_model"), ("preliminary",) * 2):
        counts = np.array([getattr(day, counted) for day in days], dtype=np.float64)
        whole = float(counts.sum() / urgent.sum()) if urgent.any() else math.nan
        found[name] = resampled(whole, ratio(counts, urgent), level=level)
    for name in ("busy_alone", "busy_with"):
        shares = np.array([getattr(day, name) for day in days if day.studies], dtype=np.float64)
        found[name] = resampled(float(shares.mean()) if len(shares) else math.nan, shares, level=level)
    return found
