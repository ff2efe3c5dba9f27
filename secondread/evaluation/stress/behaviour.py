"""Behaviour tests: what must not change the answer, what must not make it healthier, and what must be right.

After Ribeiro et al. 2020, "Beyond Accuracy: Behavioral Testing of NLP Models with CheckList" (arXiv:2005.04118), whose
three kinds of tests these are: invariance, direction and minimum functionality. An accuracy says how often a model is
right; a failed test says what it goes by.

A test takes one image of each patient, so that its images are independent and the interval of its share of failures is
that of Clopper & Pearson 1934, doi:10.1093/biomet/26.4.404. It passes when no larger share fails than is allowed. A
test that could not be run, for want of films or of what it needs, is no pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from secondread.config.behaviour import (
    CONFIDENT,
    PHANTOMS,
    BehaviourConfig,
    BehaviourTest,
    Direction,
    Invariance,
    Minimum,
    behaviour_from,
)
from secondread.config.document import read_document
from secondread.errors import InputError
from secondread.evaluation.intervals.bounds import Interval
from secondread.evaluation.stress.answers import Predict, answers
from secondread.evaluation.stress.behaviour_results import (
    COULD_NOT_RUN,
    FAIL,
    NOT_ASKED,
    PASS,
    Behaviour,
    BehaviourResult,
    Films,
)
from secondread.evaluation.stress.changes import apply
from secondread.evaluation.stress.easy_films import EasyFilms, in_class_folders, typical_phantoms
from secondread.evaluation.stress.sample import stratified
from secondread.progress import track

DEFAULT_FILE = Path(__file__).parent / "behaviour.yaml"


def read_behaviour(path: Path | str | None = None) -> BehaviourConfig:
    """Read the tests.

    Args:
        path: a `behaviour.yaml`; the one that comes with the library by default.
    Raises:
        InputError: the file is missing, is no YAML mapping, or has a key or value that is no setting.
    """
    path = Path(path or DEFAULT_FILE)
    document = read_document(path, what="behaviour tests")
    if not isinstance(document, dict):
        raise InputError(f"the behaviour tests {path} must have lists 'invariance', 'direction' or 'minimum'.")
    try:
        return behaviour_from(document, folder=path.parent)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def run_behaviour(predict: Predict, films: Films, *, config: BehaviourConfig | None = None) -> Behaviour:
    """Run every test.

    Args:
        predict: from uint8 (batch, 1, size, size) to probabilities, float (batch, classes).
        films: what it is run on.
        config: the tests; those that come with the library by default.
    Raises:
        InputError: `predict` gives no probabilities, or a folder of films cannot be used.
    """
    config = config or read_behaviour()
    found = track(config.tests, "testing behaviour", total=len(config.tests))
    return Behaviour(config.level, tuple(_Run(predict, films, config).result(test) for test in found))


class _CouldNotRunError(Exception):
    """Why a test could not be run."""


@dataclass(frozen=True)
class _Tried:
    """Films of a test: how far each is beyond what is tolerated (failed where above 0), float (images,)."""

    beyond: npt.NDArray[np.float64]
    image_ids: npt.NDArray[Any]


@dataclass(frozen=True)
class _Run:
    predict: Predict
    films: Films
    config: BehaviourConfig

    def result(self, test: BehaviourTest) -> BehaviourResult:
        if not_asked := self._not_asked(test):
            return self._without(test, NOT_ASKED, not_asked)
        lacking = NOT_ASKED if isinstance(test, Minimum) and not test.reference_needed else COULD_NOT_RUN
        try:
            tried = self._tried(test)
        except _CouldNotRunError as reason:
            return self._without(test, lacking, str(reason))
        n, failed = len(tried.beyond), tried.beyond > 0
        if n < test.images_at_least:
            return self._without(test, lacking, f"{n} films, one a patient, at least {test.images_at_least} asked")
        failures, bounds = int(failed.sum()), clopper_pearson(int(failed.sum()), n, self.config.level)
        holds = failures / n <= test.allowed_share
        order = np.argsort(-tried.beyond, kind="stable")[: min(failures, self.config.shown_images)]
        return BehaviourResult(
            name=test.name,
            kind=test.kind,
            asks=test.asks,
            n=n,
            failures=failures,
            share=failures / n,
            low=bounds.low,
            high=bounds.high,
            allowed_share=test.allowed_share,
            verdict=PASS if holds else FAIL,
            reason=f"{failures} of {n} films fail, {test.allowed_share:.1%} may",
            worst=tuple(str(tried.image_ids[place]) for place in order),
        )

    def _without(self, test: BehaviourTest, verdict: str, reason: str) -> BehaviourResult:
        nan = float("nan")
        stated = (test.name, test.kind, test.asks)
        return BehaviourResult(*stated, 0, 0, nan, nan, nan, test.allowed_share, verdict, reason, ())

    def _not_asked(self, test: BehaviourTest) -> str:
        """Why such a model need not be asked; empty where it must."""
        modalities = {info.modality for info in self.films.taxonomy.classes}
        if test.modality and "" not in modalities and test.modality not in modalities:
            return f"the model reads no {test.modality}"
        if isinstance(test, Minimum) and test.cases == PHANTOMS and not self.films.synthetic:
            return "the model did not learn from phantoms"
        return ""

    def _tried(self, test: BehaviourTest) -> _Tried:
        match test:
            case Invariance():
                return self._invariance(test)
            case Direction():
                return self._direction(test)
            case Minimum():
                return self._minimum(test)
        raise TypeError(f"{type(test)} is no test")

    def _invariance(self, test: Invariance) -> _Tried:
        chosen = self._chosen(test)
        images = self.films.images[chosen]
        reference = images if test.reference is None else apply(test.reference, images, self.films.preprocessing)
        before, after = self._answers(reference), self._answers(apply(test.change, images, self.films.preprocessing))
        moved = np.abs(after - before).max(axis=1)
        return _Tried(moved - test.tolerance, self.films.image_ids[chosen])

    def _direction(self, test: Direction) -> _Tried:
        names = self.films.taxonomy.names
        healthy = np.array([any(fnmatchcase(name, pattern) for pattern in test.healthy) for name in names])
        if healthy.all() or not healthy.any():
            raise _CouldNotRunError(
                f"{'every' if healthy.all() else 'no'} class of the model is one of {', '.join(test.healthy)}: "
                "set 'healthy' to the names of those that are no disease"
            )
        chosen = self._chosen(test)
        images = self.films.images[chosen]
        changed = apply(test.change, images, self.films.preprocessing)
        before, after = (self._answers(each)[:, ~healthy].sum(axis=1) for each in (images, changed))
        return _Tried(before - after - test.tolerance, self.films.image_ids[chosen])

    def _minimum(self, test: Minimum) -> _Tried:
        if test.cases == CONFIDENT:
            easy = self._sure_of(test)
        elif test.cases == PHANTOMS:
            easy = typical_phantoms(self.films.taxonomy, self.films.preprocessing, images=test.images_at_most)
        else:
            easy = in_class_folders(Path(test.folder), self.films.taxonomy, self.films.preprocessing)
            chosen = stratified(easy.labels, at_most=test.images_at_most, seed=self.config.seed)
            easy = EasyFilms(easy.images[chosen], easy.labels[chosen], easy.image_ids[chosen])
        if not len(easy.labels):
            raise _CouldNotRunError("there is no such film of the model's classes")
        probabilities = self._answers(easy.images)
        true = probabilities[np.arange(len(easy.labels)), easy.labels]
        # by how much another class is more probable than the true one
        return _Tried(probabilities.max(axis=1) - true, easy.image_ids)

    def _sure_of(self, test: Minimum) -> EasyFilms:
        """Films that the reference is sure of and right about."""
        reference = self.films.reference
        if reference is None:
            raise _CouldNotRunError("there is no reference model that says which films are easy")
        sure = (reference.max(axis=1) >= test.confidence) & (reference.argmax(axis=1) == self.films.labels)
        if not sure.any():
            raise _CouldNotRunError("there is no film that the reference is sure of and right about")
        chosen = self._chosen(test, among=sure)
        return EasyFilms(self.films.images[chosen], self.films.labels[chosen], self.films.image_ids[chosen])

    def _chosen(self, test: BehaviourTest, *, among: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[np.int64]:
        """Positions of films of the test's modality, one a patient."""
        allowed = np.ones(len(self.films.labels), bool) if among is None else among.copy()
        modalities = np.array([info.modality for info in self.films.taxonomy.classes])
        if test.modality:
            allowed &= modalities[self.films.labels] == test.modality
        positions = np.flatnonzero(allowed)
        if not len(positions):
            about = f"whose class is said to be of modality {test.modality}" if test.modality else "of that kind"
            raise _CouldNotRunError(f"there is no film {about}")
        chosen = stratified(
            self.films.labels[positions],
            at_most=test.images_at_most,
            seed=self.config.seed,
            patients=self.films.patients[positions],
        )
        return positions[chosen]

    def _answers(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        return answers(self.predict, images, batch_size=self.config.batch_size).astype(np.float64)


def clopper_pearson(count: int, n: int, level: float) -> Interval:
    """Exact interval of a share: `count` of `n` independent cases.

    Source: Clopper & Pearson 1934, doi:10.1093/biomet/26.4.404.
    """
    tail = (1 - level) / 2
    low = float(stats.beta.ppf(tail, count, n - count + 1)) if count else 0.0
    high = float(stats.beta.ppf(1 - tail, count + 1, n - count)) if count < n else 1.0
    return Interval(low, high)
