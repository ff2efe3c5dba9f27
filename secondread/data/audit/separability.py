"""How well features tell the label of images of groups not seen: cross-validated, with an interval."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import StratifiedKFold

from secondread.config.audit import AuditConfig
from secondread.cpus import cpu_limit

_TREES = 60  # more do not move the balanced accuracy by 0.01
_LEAF = 5  # images; a leaf of one would learn the images by heart
_DRAWN_AT_ONCE = 50  # resamples, to bound memory

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Separability:
    """What a classifier made of the features.

    Attributes:
        value, low, high: balanced accuracy (mean recall of the classes), and its bootstrap interval over groups.
        chance: what guessing reaches, 1 / classes.
        certainty: float32 (images,), probability given to each image's own class by a classifier that did not see it.
    """

    value: float
    low: float
    high: float
    chance: float
    certainty: npt.NDArray[np.float32]


def measure(features: npt.NDArray[np.float32], labels: Labels, groups: Labels, config: AuditConfig) -> Separability:
    """Cross-validate by group.

    Args:
        features: (images, features), finite.
        labels: (images,), 0 to classes - 1, each there in at least `config.folds` groups.
        groups: (images,), 0 to groups - 1; a group is wholly in one fold.
        config: folds, resamples, level, seed.
    """
    classes = int(labels.max()) + 1
    predicted, certainty = np.empty(len(labels), np.int64), np.empty(len(labels), np.float32)
    fold = _folds(labels, groups, config)

    def judge(test: npt.NDArray[np.bool_]) -> None:
        model = ExtraTreesClassifier(
            _TREES, min_samples_leaf=_LEAF, class_weight="balanced", random_state=config.seed
        ).fit(features[~test], labels[~test])
        probabilities = np.zeros((int(test.sum()), classes), np.float32)
        probabilities[:, model.classes_] = model.predict_proba(features[test])
        predicted[test] = probabilities.argmax(axis=1)
        certainty[test] = probabilities[np.arange(len(probabilities)), labels[test]]

    with ThreadPoolExecutor(cpu_limit()) as pool:  # trees grow without the interpreter lock
        list(pool.map(judge, [fold == number for number in range(config.folds)]))
    value, low, high = _balanced_accuracy(predicted == labels, labels, groups, config)
    return Separability(value, low, high, 1 / classes, certainty)


def _folds(labels: Labels, groups: Labels, config: AuditConfig) -> Labels:
    """The fold of each image: groups are dealt out, stratified by the label of their first image."""
    _, first = np.unique(groups, return_index=True)
    fold = np.empty(len(first), np.int64)
    splitter = StratifiedKFold(config.folds, shuffle=True, random_state=config.seed)
    for number, (_, test) in enumerate(splitter.split(first, labels[first])):
        fold[test] = number
    return fold[groups]


def _balanced_accuracy(
    right: npt.NDArray[np.bool_], labels: Labels, groups: Labels, config: AuditConfig
) -> tuple[float, float, float]:
    """Mean recall, and its percentile interval where whole groups are drawn with replacement."""
    shape = (int(groups.max()) + 1, int(labels.max()) + 1)
    total, found = np.zeros(shape), np.zeros(shape)
    np.add.at(total, (groups, labels), 1)
    np.add.at(found, (groups, labels), right)
    rng, draws = np.random.default_rng(config.seed), []
    for start in range(0, config.resamples, _DRAWN_AT_ONCE):
        count = min(_DRAWN_AT_ONCE, config.resamples - start)
        weight = rng.multinomial(len(total), np.full(len(total), 1 / len(total)), size=count)
        drawn = weight @ total
        recall = np.divide(weight @ found, drawn, out=np.full(drawn.shape, np.nan), where=drawn > 0)
        draws.append(np.nanmean(recall, axis=1))
    tail = (1 - config.level) / 2
    low, high = np.quantile(np.concatenate(draws), (tail, 1 - tail))
    return float((found.sum(axis=0) / total.sum(axis=0)).mean()), float(low), float(high)
