"""What a second reader does for 1,000 studies, next to a physician who reads first.

Both say whether a study is diseased. Where the model says the same and is confident enough, the study is closed;
everything else goes to a second physician. The physician's readings are not known, only how good they are, so that all
figures are expected values over what he may have read; the model's answers and the truth are those of the images.

A study of the first reader's is in one of four cells, by what the model makes of it: wrong and confident, wrong and in
doubt, right and in doubt, right and confident. The model finds them hard in that order. Independent errors fall on all
cells alike; errors that are shared as far as possible fill the cells from the hardest on, which is the worst there can
be: no first reader of that sensitivity and specificity has more errors closed. `FirstReader.shared` mixes the two.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from secondread.config.evaluate import EvaluateConfig
from secondread.config.second_reader import FirstReader, SecondReaderConfig
from secondread.errors import InputError
from secondread.evaluation.intervals import bootstrap
from secondread.evaluation.intervals.estimate import UNKNOWN, Estimate, resampled, resampled_share
from secondread.evaluation.metrics.arrays import FloatArray, IntArray, check
from secondread.evaluation.nulls import null_for_nan

_STUDIES = 1_000
_CELLS = 4
_WRONG_CONFIDENT, _RIGHT_CONFIDENT = 0, 3
_NORMAL, _DISEASED = 0, 1
_NORMAL_NAME = re.compile(r"(^|[^a-z])normal$", re.IGNORECASE)


@dataclass(frozen=True)
class SecondReader:
    """Expected numbers for 1,000 studies, each with its interval; one image is taken for one study.

    `closed` and what is not make 1,000; `caught` and `missed` make `errors`. All are NaN where there is no class
    without disease, or none with it; `reason` says so.

    Attributes:
        n: images.
        groups: patients, or images where patients are not known.
        level: of the intervals.
        reader: the first reader that was assumed.
        confidence_at_least: from which confidence on agreement closes a study.
        prevalence: share of diseased studies that the figures are for.
        closed: studies without a second physician.
        errors: wrong readings of the first reader; NaN bounds where the prevalence was given, as nothing is measured.
        caught: those of them that go to a second physician, who is taken to be right.
        missed: those of them that are closed, since the model is wrong as well.
        missed_disease: diseased studies among the missed; the others are false alarms.
        needless: right readings that go to a second physician all the same.
        reason: why there are no figures; empty where there are.
    """

    n: int
    groups: int
    level: float
    reader: FirstReader
    confidence_at_least: float
    prevalence: float
    closed: Estimate
    errors: Estimate
    caught: Estimate
    missed: Estimate
    missed_disease: Estimate
    needless: Estimate
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """As JSON; null for what cannot be known."""
        document: dict[str, Any] = null_for_nan(asdict(self))
        return document


def second_reader(
    probabilities: FloatArray,
    labels: IntArray,
    groups: npt.NDArray[Any],
    *,
    classes: Sequence[str],
    confidence_at_least: float,
    reader: FirstReader | None = None,
    room: SecondReaderConfig | None = None,
    config: EvaluateConfig | None = None,
) -> SecondReader:
    """What is closed, caught and missed where this model reads second.

    Args:
        probabilities: float (images, classes), rows sum to 1.
        labels: int (images,), class indices.
        groups: (images,), the patient of each image, or the image itself where patients are not known.
        classes: names in the order of the columns.
        confidence_at_least: confidence (largest probability) from which on agreement closes a study, such as the risk
            dial's threshold; infinite: none is closed.
        reader: the first reader.
        room: prevalence, and which classes are normal.
        config: of resampling.
    Raises:
        InputError: the arrays do not fit, are no probabilities, or a normal class is none of the classes.
    """
    reader, room, config = reader or FirstReader(), room or SecondReaderConfig(), config or EvaluateConfig()
    check(probabilities, labels)
    _check_lengths(probabilities, groups, classes)
    normal = normal_classes(classes, room.normal_classes)
    prevalence = float((~normal[labels]).mean()) if room.prevalence is None else room.prevalence
    patients = len(np.unique(groups))
    facts: dict[str, Any] = {
        "n": len(labels),
        "groups": patients,
        "level": config.level,
        "reader": reader,
        "confidence_at_least": confidence_at_least,
        "prevalence": prevalence,
    }
    reason = _reason(normal, labels, room)
    if reason:
        facts["prevalence"] = math.nan if normal.all() or not normal.any() else prevalence
        return SecondReader(**(facts | dict.fromkeys(_FIGURES, UNKNOWN)), reason=reason)
    cells = _cells(probabilities, labels, normal, confidence_at_least)
    shares = _shares(cells.sum(axis=0, keepdims=True), room.prevalence)
    values = _expected(shares, reader)
    drawn: dict[str, list[npt.NDArray[np.float64]]] = {name: [] for name in _FIGURES}
    surely_wrong: list[npt.NDArray[np.float64]] = []
    flat = cells.reshape(len(cells), -1)
    for weights in bootstrap.draws(groups, resamples=config.resamples, seed=config.seed):
        masses = (weights.astype(np.float64) @ flat).reshape(len(weights), 2, _CELLS)
        parts = _shares(masses, room.prevalence)
        surely_wrong.append(parts[:, :, _WRONG_CONFIDENT])
        for name, figure in _expected(parts, reader).items():
            drawn[name].append(figure)
    found = {
        name: resampled(float(values[name][0]), np.concatenate(drawn[name]), level=config.level) for name in _FIGURES
    }
    most = _missed_at_most(shares[0], np.concatenate(surely_wrong), normal[labels], groups, reader, room, config.level)
    for name, high in most.items():  # what is rare varies too little from draw to draw
        found[name] = _at_least_to(found[name], float(values[name][0]), high)
    return SecondReader(**(facts | found))


def normal_classes(classes: Sequence[str], stated: Sequence[str] = ()) -> npt.NDArray[np.bool_]:
    """Which classes are without disease.

    A taxonomy does not say, so the name does: `normal` and whatever ends in it as a word of its own, such as
    `cxr-normal`; not `abnormal`, and not `ultrasound-normal-benign`, which holds more than that. Others are stated.

    Args:
        classes: names.
        stated: names of those without disease; empty: go by the name.
    Returns:
        bool (classes,); all False where no class is known to be normal.
    Raises:
        InputError: a stated one is none of the classes.
    """
    for name in stated:
        if name not in classes:
            raise InputError(f"normal class '{name}' is not one of {', '.join(classes)}: name one of these.")
    return np.array([name in stated if stated else bool(_NORMAL_NAME.search(name)) for name in classes], dtype=np.bool_)


_FIGURES = ("closed", "errors", "caught", "missed", "missed_disease", "needless")


def _check_lengths(probabilities: FloatArray, groups: npt.NDArray[Any], classes: Sequence[str]) -> None:
    if len(groups) != len(probabilities) or len(classes) != probabilities.shape[1]:
        raise InputError(
            f"{len(groups)} groups and {len(classes)} class names do not fit probabilities {probabilities.shape}: "
            "give one group an image and one name a column."
        )


def _reason(normal: npt.NDArray[np.bool_], labels: IntArray, room: SecondReaderConfig) -> str:
    """Why the figures cannot be known; empty where they can."""
    if not normal.any():
        return "no class is known to be without disease: name it in normal_classes."
    if normal.all():
        return "every class is without disease: there is nothing to miss."
    present = normal[labels]
    if room.prevalence is not None and (present.all() or not present.any()):
        kind = "diseased" if present.all() else "normal"
        return f"no image is {kind}: the figures cannot be given for a stated prevalence."
    return ""


def _missed_at_most(
    shares: npt.NDArray[np.float64],
    surely_wrong: npt.NDArray[np.float64],
    normal: npt.NDArray[np.bool_],
    groups: npt.NDArray[Any],
    reader: FirstReader,
    room: SecondReaderConfig,
    level: float,
) -> dict[str, float]:
    """Upper bounds of what is missed: where as many more are surely wrong as the exact bound of their share allows.

    Args:
        shares: of the cells, float64 (2, 4).
        surely_wrong: of their first column in each draw, float64 (draws, 2).
        normal: bool (images,), without disease.
        groups: (images,), the patient of each.
        reader: the first reader.
        room: prevalence.
        level: of the intervals.
    """
    seen, whole = shares[:, _WRONG_CONFIDENT], shares.sum(axis=1)

    def more(value: float, drawn: npt.NDArray[np.float64], among: npt.NDArray[np.bool_]) -> float:
        return resampled_share(value, drawn, patients=len(np.unique(groups[among])), level=level).high - value

    def missed(extra: tuple[float, float]) -> npt.NDArray[np.float64]:
        return _missed(seen + np.array(extra), whole, reader)

    if room.prevalence is None:  # all are of one draw, and the further ones of either side
        everybody = np.ones_like(normal)
        disease = more(float(seen[_DISEASED]), surely_wrong[:, _DISEASED], everybody)
        either = more(float(seen.sum()), surely_wrong.sum(axis=1), everybody)
        ways: list[tuple[float, float]] = [(either, 0.0), (0.0, either)]
    else:
        sides = [
            weight * more(float(seen[side] / weight), surely_wrong[:, side] / weight, among) if weight else 0.0
            for side, (weight, among) in enumerate(zip(whole.tolist(), (normal, ~normal), strict=True))
        ]
        disease, ways = sides[_DISEASED], [(sides[_NORMAL], sides[_DISEASED])]
    part = float(missed((0.0, disease))[_DISEASED])
    return {"missed": max(part, *(float(missed(way).sum()) for way in ways)), "missed_disease": part}


def _at_least_to(found: Estimate, value: float, high: float) -> Estimate:
    """An estimate whose upper bound is no lower; one of which all draws agree that there is none has a lower one."""
    if not math.isfinite(high):
        return found
    if not found.bounded:
        return Estimate(value, 0.0, high) if value == 0 else found
    return Estimate(found.value, found.low, max(found.high, high))


def _cells(
    probabilities: FloatArray, labels: IntArray, normal: npt.NDArray[np.bool_], confidence_at_least: float
) -> npt.NDArray[np.float64]:
    """Which cell each image is in: float64 (images, 2, 4), one 1 an image; by its true side, then by hardness."""
    side = np.where(normal[labels], _NORMAL, _DISEASED)
    right = normal[probabilities.argmax(axis=1)] == normal[labels]
    confident = probabilities.max(axis=1) >= confidence_at_least
    cell = np.where(right, np.where(confident, _RIGHT_CONFIDENT, 2), np.where(confident, _WRONG_CONFIDENT, 1))
    found = np.zeros((len(labels), 2, _CELLS))
    found[np.arange(len(labels)), side, cell] = 1
    return found


def _shares(masses: npt.NDArray[np.float64], prevalence: float | None) -> npt.NDArray[np.float64]:
    """Shares of all studies in each cell, float64 (draws, 2, 4), from how many images are in it; NaN without any."""
    with np.errstate(invalid="ignore"):  # a draw without a diseased or normal image has no figure: NaN
        if prevalence is None:
            return np.asarray(masses / masses.sum(axis=(1, 2), keepdims=True))
        return np.asarray(masses / masses.sum(axis=2, keepdims=True) * np.array([1 - prevalence, prevalence])[:, None])


def _missed(
    surely_wrong: npt.NDArray[np.float64], whole: npt.NDArray[np.float64], reader: FirstReader
) -> npt.NDArray[np.float64]:
    """Errors that are closed, of 1,000 studies: float64 (..., 2), from shares of the hardest cell and of its side."""
    rates = np.array([1 - reader.specificity, 1 - reader.sensitivity])
    alike = np.minimum(rates * whole, surely_wrong)
    return np.asarray(_STUDIES * ((1 - reader.shared) * rates * surely_wrong + reader.shared * alike))


def _expected(masses: npt.NDArray[np.float64], reader: FirstReader) -> dict[str, npt.NDArray[np.float64]]:
    """The figures of each draw, float64 (draws,), from the shares in each cell, float64 (draws, 2, 4)."""
    rates = np.array([1 - reader.specificity, 1 - reader.sensitivity])[:, None]
    whole = masses.sum(axis=2, keepdims=True)
    harder = np.cumsum(masses, axis=2) - masses
    filled = np.clip(rates * whole - harder, 0, masses)
    wrong = _STUDIES * ((1 - reader.shared) * rates * masses + reader.shared * filled)
    right = _STUDIES * masses - wrong
    missed = _missed(masses[:, :, _WRONG_CONFIDENT], whole[:, :, 0], reader)
    errors, closed_right = wrong.sum(axis=(1, 2)), right[:, :, _RIGHT_CONFIDENT].sum(axis=1)
    return {
        "closed": closed_right + missed.sum(axis=1),
        "errors": errors,
        "caught": errors - missed.sum(axis=1),
        "missed": missed.sum(axis=1),
        "missed_disease": missed[:, _DISEASED],
        "needless": right.sum(axis=(1, 2)) - closed_right,
    }
