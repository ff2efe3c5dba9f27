"""For whom the model is worse: each group's figures, and the gap between it and the rest.

A group with more of the hard class has the lower accuracy, although nobody in it is read worse. So gaps are judged by
what does not depend on the mix of classes: the sensitivity of each class, and accuracy at the same class mix, which is
the mean of the sensitivities over the classes that both sides have. The gap in accuracy as it is, and that in AUROC (of
a class against the rest, hence dependent on which others there are), are shown and not judged.

A gap is flagged when its interval excludes zero and both sides are large enough. Patients are drawn, not images, and
all intervals of an evaluation hold at once: `secondread.evaluation.intervals.simultaneous` says how and why.

Source: direct standardisation of rates, as in Fleiss, Levin & Paik 2003, "Statistical Methods for Rates and
Proportions", chapter 19.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from secondread.config.evaluate import EvaluateConfig
from secondread.config.subgroups import FACTORS, SubgroupConfig
from secondread.data.audit.counts import NOT_KNOWN, age_bands
from secondread.errors import InputError
from secondread.evaluation.intervals.bounds import percentile
from secondread.evaluation.intervals.simultaneous import Look, Side, drawn_areas, simultaneous
from secondread.evaluation.metrics import ranking
from secondread.evaluation.metrics.arrays import FloatArray, IntArray, check, once
from secondread.evaluation.subgroups.results import (
    ACCURACY,
    AUROC,
    BETTER,
    JUDGED,
    NOT_JUDGED,
    NOT_SHOWN,
    SAME_MIX,
    SENSITIVITY,
    TOO_SMALL,
    WORSE,
    Factor,
    Gap,
    Group,
    LargestGap,
    Subgroups,
)


def factors_of(rows: pd.DataFrame) -> dict[str, npt.NDArray[Any]]:
    """The groups of each image, by factor.

    Args:
        rows: of a manifest, one an image.
    Returns:
        `FACTORS`, each (images,) of str; `not known` where the manifest says nothing.
    """
    known = rows.assign(age_band=age_bands(rows["age"]))
    return {name: known[name].fillna("").replace("", NOT_KNOWN).to_numpy(dtype=object) for name in FACTORS}


def measure_subgroups(
    probabilities: FloatArray,
    labels: IntArray,
    patients: npt.NDArray[Any],
    factors: Mapping[str, npt.NDArray[Any]],
    *,
    classes: tuple[str, ...],
    policy: SubgroupConfig | None = None,
    config: EvaluateConfig | None = None,
) -> Subgroups:
    """Measure each group, and compare it with the rest.

    Args:
        probabilities: float (images, classes), rows sum to 1.
        labels: int (images,), class indices.
        patients: (images,), the patient of each image, or the image itself where patients are not known.
        factors: name to (images,) of str, which group each image belongs to; `not known` or empty where that is so.
        classes: names of the columns.
        policy: what is large enough.
        config: of resampling.
    Raises:
        InputError: the arrays differ in length, or are no probabilities.
    """
    policy, config = policy or SubgroupConfig(), config or EvaluateConfig()
    check(probabilities, labels)
    for name, values in {"patients": patients, **factors}.items():
        if len(values) != len(labels):
            raise InputError(f"{len(labels)} labels and {len(values)} values of {name}: give one for each image.")
    if len(classes) != probabilities.shape[1]:
        raise InputError(f"{probabilities.shape[1]} columns of probabilities and {len(classes)} class names.")
    known = {name: _names(values) for name, values in factors.items()}
    return _Comparison(probabilities, labels, patients, known, classes, policy, config).result()


@dataclass(frozen=True)
class _Division:
    """How one factor divides the images: the side of each group, and that of its rest."""

    groups: Mapping[str, int]
    rests: Mapping[str, int]
    nobody: Side | None  # images whose group is not known


class _Comparison:
    """One evaluation's sides, each kept once (of two groups, the rest of one is the other), and the draws of all."""

    def __init__(
        self,
        probabilities: FloatArray,
        labels: IntArray,
        patients: npt.NDArray[Any],
        factors: Mapping[str, npt.NDArray[Any]],
        classes: tuple[str, ...],
        policy: SubgroupConfig,
        config: EvaluateConfig,
    ) -> None:
        self._probabilities, self._labels, self._classes = probabilities, labels, classes
        self._policy, self._config = policy, config
        self._patients: IntArray = np.unique(patients, return_inverse=True)[1]
        self._right = probabilities.argmax(axis=1) == labels
        self._sides: list[Side] = []
        self._places: dict[bytes, int] = {}
        self._divisions = {name: self._divide(values) for name, values in factors.items()}
        self._looks = self._all_looks()
        self._intervals = simultaneous(self._looks, self._sides, self._right, labels, self._patients, config)
        compared = sorted({place for look in self._looks for place in (look.a, look.b)})
        of_areas = {place: self._sides[place] for place in compared}
        drawn = replace(config, resamples=policy.auroc_resamples)
        self._areas = drawn_areas(of_areas, probabilities, labels, self._patients, drawn)

    def result(self) -> Subgroups:
        return Subgroups(
            n=len(self._labels),
            patients=int(self._patients.max()) + 1,
            level=self._config.level,
            looks=len(self._looks),
            width=self._intervals.width,
            factors=tuple(self._factor(name, division) for name, division in self._divisions.items()),
        )

    def _divide(self, values: npt.NDArray[Any]) -> _Division:
        known = values != NOT_KNOWN
        names = sorted(set(values[known].tolist()))
        groups = {name: self._place(values == name) for name in names}
        rests = {name: self._place(known & (values != name)) for name in names if len(names) > 1}
        return _Division(groups, rests, None if known.all() else self._count(~known))

    def _place(self, mask: npt.NDArray[np.bool_]) -> int:
        """Number of a side; the same images keep theirs."""
        key = mask.tobytes()
        if key not in self._places:
            self._places[key] = len(self._sides)
            self._sides.append(self._count(mask))
        return self._places[key]

    def _count(self, mask: npt.NDArray[np.bool_]) -> Side:
        return Side.of(mask, self._labels, self._patients, classes=len(self._classes))

    def _comparable(self, a: int, b: int) -> bool:
        return all(self._sides[place].patients >= self._policy.min_patients for place in (a, b))

    def _shared(self, a: int, b: int) -> tuple[int, ...]:
        """Classes of which both sides have enough."""
        images, patients = self._policy.min_class_images, self._policy.min_class_patients
        enough = [
            (self._sides[place].images_by_class >= images) & (self._sides[place].patients_by_class >= patients)
            for place in (a, b)
        ]
        return tuple(np.flatnonzero(enough[0] & enough[1]).tolist())

    def _all_looks(self) -> tuple[Look, ...]:
        """Every gap that can be told: of each group from its rest, and of each pair of groups at the same mix."""
        found: dict[Look, None] = {}  # a set that keeps its order
        for division in self._divisions.values():
            for name, rest in division.rests.items():
                a, b = sorted((division.groups[name], rest))
                if self._comparable(a, b):
                    shared = self._shared(a, b)
                    looks = [Look(a, b, ()), Look(a, b, shared), *(Look(a, b, (index,)) for index in shared)]
                    found |= dict.fromkeys(looks)
            for a, b in self._pairs(division):
                found[Look(a, b, self._shared(a, b))] = None
        return tuple(found)

    def _pairs(self, division: _Division) -> list[tuple[int, int]]:
        """Groups of a factor that can be compared with each other."""
        pairs = combinations(sorted(division.groups.values()), 2)
        return [(a, b) for a, b in pairs if self._comparable(a, b) and self._shared(a, b)]

    def _factor(self, name: str, division: _Division) -> Factor:
        groups = [self._group(group, place, division) for group, place in division.groups.items()]
        if division.nobody is not None:
            groups.append(self._described(NOT_KNOWN, division.nobody, ()))
        return Factor(name, tuple(groups), self._largest(division))

    def _group(self, name: str, place: int, division: _Division) -> Group:
        rest = division.rests.get(name)
        return self._described(name, self._sides[place], () if rest is None else tuple(self._gaps(place, rest)))

    def _described(self, name: str, side: Side, gaps: tuple[Gap, ...]) -> Group:
        return Group(
            name=name,
            images=int(side.mask.sum()),
            patients=side.patients,
            accuracy=self._share(side, ()),
            sensitivity={label: self._share(side, (index,)) for index, label in enumerate(self._classes)},
            auroc=dict(zip(self._classes, map(float, self._auroc(side)), strict=True)),
            gaps=gaps,
        )

    def _gaps(self, group: int, rest: int) -> Iterator[Gap]:
        """All gaps of a group from its rest; those that cannot be told too."""
        shared = self._shared(group, rest)
        yield self._gap(ACCURACY, Look(group, rest, ()))
        if shared:
            yield self._gap(SAME_MIX, Look(group, rest, shared))
        else:
            yield Gap(SAME_MIX, (), np.nan, np.nan, np.nan, np.nan, np.nan, TOO_SMALL)
        for index in range(len(self._classes)):
            yield self._gap(SENSITIVITY, Look(group, rest, (index,)))
        yield self._auroc_gap(group, rest)

    def _gap(self, figure: str, look: Look) -> Gap:
        ours, others = (self._share(self._sides[place], look.classes) for place in (look.a, look.b))
        bounds = self._intervals.of(look)
        if np.isnan(bounds.low):
            verdict = TOO_SMALL
        elif figure in JUDGED:
            verdict = WORSE if bounds.high < 0 else BETTER if bounds.low > 0 else NOT_SHOWN
        else:
            verdict = NOT_JUDGED
        names = tuple(self._classes[index] for index in look.classes)
        return Gap(figure, names, ours, others, ours - others, bounds.low, bounds.high, verdict)

    def _auroc_gap(self, group: int, rest: int) -> Gap:
        """Mean over the classes that both sides have enough of, and something else besides."""
        both = [self._auroc(self._sides[place]) for place in (group, rest)]
        used = [index for index in self._shared(group, rest) if not np.isnan([each[index] for each in both]).any()]
        if not used or not self._comparable(group, rest):
            return Gap(AUROC, (), np.nan, np.nan, np.nan, np.nan, np.nan, TOO_SMALL)
        ours, others = (float(each[used].mean()) for each in both)
        drawn = [self._areas[place][:, used].mean(axis=1) for place in (group, rest)]
        bounds = percentile(drawn[0] - drawn[1], self._config.level)
        # one of no width, where all pairs are in order, would promise that every further one is
        low, high = (bounds.low, bounds.high) if bounds.low < bounds.high else (np.nan, np.nan)
        names = tuple(self._classes[index] for index in used)
        return Gap(AUROC, names, ours, others, ours - others, low, high, NOT_JUDGED)

    def _largest(self, division: _Division) -> LargestGap | None:
        names = {place: name for name, place in division.groups.items()}
        found = []
        for a, b in self._pairs(division):
            look = Look(a, b, self._shared(a, b))
            gaps = [self._gap(SAME_MIX, each) for each in (look, look.turned())]
            worse, better, gap = (a, b, gaps[0]) if gaps[0].value <= 0 else (b, a, gaps[1])
            found.append(LargestGap(names[worse], names[better], gap))
        return min(found, key=lambda pair: pair.gap.value, default=None)

    def _share(self, side: Side, classes: tuple[int, ...]) -> float:
        """Mean sensitivity of some classes on the images as they are; accuracy where none is named."""
        if not classes:
            return _mean(self._right[side.mask])
        return float(np.mean([_mean(self._right[side.mask & (self._labels == index)]) for index in classes]))

    def _auroc(self, side: Side) -> npt.NDArray[np.float64]:
        """Of each class against the rest, float64 (classes,)."""
        scores, truth = self._probabilities[side.mask], self._labels[side.mask]
        areas: npt.NDArray[np.float64] = ranking.auroc_by_class(scores, truth, once(len(truth)))[0]
        return areas


def _names(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Group names as str, `not known` for those that are empty."""
    return np.array([str(value) or NOT_KNOWN for value in values], dtype=object)


def _mean(values: npt.NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else float("nan")
