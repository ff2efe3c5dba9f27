"""The drop: a model's figures on one set less those on its own test, over the classes that both have.

The two sets have different patients, so the interval of a difference follows from the two intervals alone, whatever
made them: the squared distances of their ends from the figures are added (method of variance estimates recovery).
Sources: Zou & Donner 2008, doi:10.1002/sim.3095; of two shares it is method 10 of Newcombe 1998, "Interval estimation
for the difference between independent proportions", Statistics in Medicine 17:873-890.

Where one set lacks a class of the other, figures over other classes say nothing of each other, and are taken again over
the classes of both. For the set that is judged that is the same work once more. Of the test there are only the
predictions, which name no patient: images are drawn instead, and the intervals made wider by as much as those of all
classes are wider by patients than by images (the design effect, taken to be the same of a part as of the whole; source:
Kish 1995, "Methods for design effects", Journal of Official Statistics 11:55-77).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from secondread.atomic import read_json
from secondread.config.evaluate import EvaluateConfig
from secondread.errors import InputError, IntegrityError
from secondread.evaluation.external.drop_results import Difference, Drop
from secondread.evaluation.intervals import bootstrap
from secondread.evaluation.intervals.estimate import UNKNOWN, Estimate
from secondread.evaluation.labelled_images import LabelledImages
from secondread.evaluation.metrics import by_name as metrics
from secondread.evaluation.metrics.arrays import FloatArray, IntArray, check, once
from secondread.evaluation.results import EVALUATION_FILE, PREDICTIONS_FILE, Evaluation

EXTERNAL, INTERNAL = "external", "internal"

_MOST = {"brier": 2.0, "nll": math.inf}  # of the others it is 1


@dataclass(frozen=True)
class Judged:
    """A model's answers on one set, and the figures of them all.

    Attributes:
        name, split: which images.
        probabilities: float (images, classes).
        labels: int (images,).
        image_ids: (images,) of str.
        groups: (images,), the patient of each image; None where that is not known.
        patients: how many there are.
        figures: by name of `metrics.by_name.OVERALL`.
    """

    name: str
    split: str
    probabilities: FloatArray
    labels: IntArray
    image_ids: npt.NDArray[Any]
    groups: npt.NDArray[Any] | None
    patients: int
    figures: Mapping[str, Estimate]


def read_internal(folder: Path, *, digest: str, graph: str, classes: Sequence[str], level: float) -> Judged:
    """Read what an evaluation of the same model wrote.

    Args:
        folder: that `evaluate` wrote.
        digest: of the model that is judged.
        graph: that is run.
        classes: the model's.
        level: of the intervals that its own are put beside.
    Raises:
        InputError: the evaluation is of another model or graph, or has intervals of another level.
        IntegrityError: the folder is no evaluation, or its files do not belong together.
    """
    document = read_json(folder / EVALUATION_FILE)
    try:
        found, ran, at = str(document["digest"]), str(document["graph"]), float(document["level"])
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(folder, error) from error
    if (found, ran) != (digest, graph):
        raise InputError(
            f"{folder} is of another model or graph ({found[:12]}, {ran}) than this ({digest[:12]}, {graph}): a drop "
            "is that of one model. Evaluate this one on its own test first, with --output."
        )
    if at != level:
        raise InputError(f"intervals of {folder} are at {at:g}, and not at {level:g}: set evaluate.level to the same.")
    try:
        judged = _judged(document, pd.read_parquet(folder / PREDICTIONS_FILE), list(classes))
        check(judged.probabilities, judged.labels)
    except (KeyError, TypeError, ValueError, OSError, InputError) as error:
        raise _damaged(folder, error) from error
    if len(judged.labels) != document["n"]:
        raise _damaged(folder, f"{len(judged.labels)} predictions of {document['n']} images")
    return judged


def measure_drop(
    evaluation: Evaluation,
    internal: Judged,
    probabilities: FloatArray,
    labels: IntArray,
    data: LabelledImages,
    *,
    config: EvaluateConfig,
) -> Drop:
    """Compare an evaluation with one of the same model on other patients.

    Args:
        evaluation: of the set that is judged.
        internal: the other.
        probabilities: float (images, classes), from which the evaluation was made.
        labels: int (images,), positions in the model's classes.
        data: those images.
        config: of resampling.
    """
    external = Judged(
        evaluation.dataset,
        evaluation.split,
        probabilities,
        labels,
        data.image_ids,
        data.groups,
        evaluation.groups,
        {name: Estimate(figure.value, figure.low, figure.high) for name, figure in evaluation.metrics.items()},
    )
    common = np.intersect1d(labels, internal.labels)
    parts, again, widened = [], [], dict.fromkeys(metrics.OVERALL, 1.0)
    for name, judged in ((EXTERNAL, external), (INTERNAL, internal)):
        part = _part(judged, common)
        if len(part.labels) < len(judged.labels) and len(common):
            again.append(name)
            found = _figures(part, config)
            if judged.groups is None:
                widened = _widened(judged, config)
                found = {figure: _wider(value, widened[figure], figure) for figure, value in found.items()}
            part = replace(part, figures=found)
        parts.append(part)
    here, there = parts
    figures = {
        name: Difference(here.figures[name], there.figures[name], difference(here.figures[name], there.figures[name]))
        for name in (metrics.OVERALL if len(common) else ())
    }
    return Drop(
        against=internal.name,
        split=internal.split,
        classes=tuple(evaluation.classes[index] for index in common),
        n=len(here.labels),
        against_n=len(there.labels),
        taken_again=tuple(again),
        widened=widened,
        shared_images=len(np.intersect1d(data.image_ids.astype(str), internal.image_ids.astype(str))),
        figures=figures,
    )


def difference(first: Estimate, second: Estimate) -> Estimate:
    """First minus second, two independent figures; without bounds where either has none."""
    value = first.value - second.value
    low = value - math.hypot(first.value - first.low, second.high - second.value)
    high = value + math.hypot(first.high - first.value, second.value - second.low)
    return Estimate(value, low, high) if math.isfinite(low) and math.isfinite(high) else replace(UNKNOWN, value=value)


def _judged(document: Mapping[str, Any], predictions: pd.DataFrame, classes: list[str]) -> Judged:
    return Judged(
        name=str(document["dataset"]),
        split=str(document["split"]),
        probabilities=np.stack(predictions["probabilities"].tolist()),
        labels=np.array([classes.index(label) for label in predictions["label"]], dtype=np.int64),
        image_ids=predictions["image_id"].to_numpy(dtype=object),
        groups=None,
        patients=int(document["groups"]),
        figures={name: _estimate(document["metrics"][name]) for name in metrics.OVERALL},
    )


def _part(judged: Judged, classes: npt.NDArray[Any]) -> Judged:
    """The images of some classes."""
    chosen = np.isin(judged.labels, classes)
    return replace(
        judged,
        probabilities=judged.probabilities[chosen],
        labels=judged.labels[chosen],
        image_ids=judged.image_ids[chosen],
        groups=None if judged.groups is None else judged.groups[chosen],
    )


def _figures(judged: Judged, config: EvaluateConfig) -> dict[str, Estimate]:
    """Figures and intervals; where patients are not known, by images."""
    groups = np.arange(len(judged.labels)) if judged.groups is None else judged.groups
    plain = metrics.measure(judged.probabilities, judged.labels, once(len(judged.labels))).overall
    bounds = bootstrap.intervals(
        judged.probabilities,
        judged.labels,
        groups,
        resamples=config.resamples,
        level=config.level,
        seed=config.seed,
    ).overall
    return {name: Estimate(float(plain[name][0]), bounds[name].low, bounds[name].high) for name in metrics.OVERALL}


def _widened(judged: Judged, config: EvaluateConfig) -> dict[str, float]:
    """How much wider the intervals of all images are by patients than by images."""
    if judged.patients == len(judged.labels):
        return dict.fromkeys(metrics.OVERALL, 1.0)
    by_image = _figures(judged, config)
    ratios = {}
    for name, by_patient in judged.figures.items():
        narrow = by_image[name].high - by_image[name].low
        ratios[name] = max(1.0, (by_patient.high - by_patient.low) / narrow) if narrow > 0 else math.nan
        if math.isnan(by_patient.high - by_patient.low):
            ratios[name] = math.nan  # max() would have made it 1
    return ratios


def _wider(figure: Estimate, by: float, name: str) -> Estimate:
    low, high = figure.value - by * (figure.value - figure.low), figure.value + by * (figure.high - figure.value)
    if not math.isfinite(low) or not math.isfinite(high):
        return replace(UNKNOWN, value=figure.value)
    return Estimate(figure.value, max(0.0, low), min(_MOST.get(name, 1.0), high))


def _estimate(document: Mapping[str, float | None]) -> Estimate:
    value, low, high = (
        math.nan if document[key] is None else float(document[key] or 0.0) for key in ("value", "low", "high")
    )
    return Estimate(value, low, high)


def _damaged(folder: Path, why: object) -> IntegrityError:
    return IntegrityError(f"{folder} is no evaluation, or a damaged one ({why}). Evaluate again.")
