"""Images of classes that the model lacks: no answer to them can be right, so they are in no figure.

What matters of them is whether the model notices: how many it turns away as out of distribution, and how sure it is of
those that it takes for a class of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from secondread.evaluation.intervals import bootstrap
from secondread.evaluation.intervals.estimate import Estimate
from secondread.evaluation.labelled_images import LabelledImages
from secondread.evaluation.metrics.arrays import Draws, FloatArray
from secondread.model.session import Outputs


@dataclass(frozen=True)
class ClassApart:
    """What the model makes of one such class.

    Attributes:
        name: of the set's class.
        reason: why it is apart.
        n: images.
        groups: patients, or images where patients are not known.
        called: class of the model to how many images it is the most probable of, most first.
        confidence: mean probability of the most probable class, in [0, 1].
        flagged: share of the images that are out of distribution for the model, in [0, 1].
    """

    name: str
    reason: str
    n: int
    groups: int
    called: Mapping[str, int]
    confidence: Estimate
    flagged: Estimate


def measure_apart(
    data: LabelledImages,
    reasons: Mapping[str, str],
    outputs: Outputs,
    *,
    classes: Sequence[str],
    threshold: float,
    resamples: int = 1_000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[ClassApart, ...]:
    """Measure each class apart.

    Args:
        data: images of such classes.
        reasons: by class, in the order of the result.
        outputs: what the graph says of these images.
        classes: the model's.
        threshold: of `ood_score`, above which an image is out of distribution.
        resamples: draws of patients.
        level: of the intervals.
        seed: of the draws.
    """

    def one(name: str, reason: str) -> ClassApart:
        chosen = data.labels == data.classes.index(name)
        probabilities, groups = outputs.probabilities[chosen], data.groups[chosen]
        called = np.bincount(probabilities.argmax(axis=1), minlength=len(classes))
        values = {
            "confidence": probabilities.max(axis=1).astype(np.float64),
            "flagged": (outputs.ood_score[chosen] > threshold).astype(np.float64),
        }
        drawn = bootstrap.resampled(lambda weights: _means(values, weights), groups, resamples=resamples, seed=seed)
        patients = len(np.unique(groups))
        # a share of which all draws agree has an exact interval; a mean has none
        units = {"confidence": 0, "flagged": patients}
        found = {
            figure: bootstrap.bounded(drawn[figure], float(values[figure].mean()), level, patients=units[figure])
            for figure in values
        }
        return ClassApart(
            name=name,
            reason=reason,
            n=int(chosen.sum()),
            groups=patients,
            called={
                classes[place]: int(called[place]) for place in np.argsort(-called, kind="stable") if called[place]
            },
            **{each: Estimate(float(values[each].mean()), found[each].low, found[each].high) for each in values},
        )

    return tuple(one(name, reason) for name, reason in reasons.items())


def _means(values: Mapping[str, FloatArray], weights: npt.NDArray[Any]) -> dict[str, Draws]:
    return {name: np.asarray((weights @ each) / weights.sum(axis=1)) for name, each in values.items()}
