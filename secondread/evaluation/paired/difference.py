"""Two models on the same images: by how much they differ, and whether chance alone could do that.

Both see the same patients, so the difference is resampled and not each model for itself: what makes an image hard for
one makes it hard for the other, and two intervals that overlap say little.

Good models differ on a handful of images, of which plain draws make too much: where the challenger alone is right on
one, no draw has it worse. So two made-up patients are among those who are drawn (`made_up`). And what none of so many
patients showed may still be there: the interval is never narrower than that, to either side of the value. What speaks
for the challenger never lowers an end.

Source: Efron & Tibshirani 1993, chapter 13 (percentile interval of a statistic of pairs); McNemar 1947,
doi:10.1007/BF02295996 (two classifiers on one test set: Dietterich 1998, doi:10.1162/089976698300017197), in its exact
form.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from secondread.config.evaluate import EvaluateConfig
from secondread.config.paired import PairedConfig
from secondread.errors import InputError
from secondread.evaluation.intervals import bootstrap
from secondread.evaluation.intervals.bounds import percentile
from secondread.evaluation.intervals.estimate import unseen_at_most
from secondread.evaluation.labelled_images import LabelledImages, labels_of_model
from secondread.evaluation.metrics import by_name as metrics
from secondread.evaluation.metrics.arrays import FloatArray, IntArray, check
from secondread.evaluation.nulls import null_for_nan
from secondread.evaluation.paired.made_up import with_made_up
from secondread.evaluation.verdict import GateResult, Line
from secondread.model.folder import ModelFolder
from secondread.model.session import open_graph


@dataclass(frozen=True)
class Difference:
    """One figure of both models; NaN where it cannot be known.

    Attributes:
        champion, challenger: on the images as they are.
        value: challenger - champion.
        low, high: interval of `value` from resampling patients.
    """

    champion: float
    challenger: float
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class McNemar:
    """McNemar's exact test on the images that one model gets right and the other wrong.

    Attributes:
        champion_only, challenger_only: images that this model alone gets right.
        p_value: chance of so uneven a share or a more uneven one if both are right equally often. It takes images for
            independent, which those of one patient are not: the interval of the accuracies' difference does not.
    """

    champion_only: int
    challenger_only: int
    p_value: float


@dataclass(frozen=True)
class BesideChampion:
    """What a gate is told of the champion on the images that the challenger is judged on.

    Attributes:
        digest: SHA-256, hex, of what the champion serves.
        differences: `accuracy` and `auroc_macro`.
        mcnemar: of the accuracies.
    """

    digest: str
    differences: dict[str, Difference]
    mcnemar: McNemar

    def to_json(self) -> dict[str, Any]:
        """As JSON; what cannot be known is null."""
        document: dict[str, Any] = null_for_nan(asdict(self))
        return document


@dataclass(frozen=True)
class PairedComparison:
    """A champion and a challenger on the same images.

    Attributes:
        n: images.
        groups: patients, or images where patients are not known.
        level: of the intervals.
        differences: `accuracy` and `auroc_macro`.
        mcnemar: of the accuracies.
        gate: whether the challenger is not worse by more than the margins.
    """

    n: int
    groups: int
    level: float
    differences: dict[str, Difference]
    mcnemar: McNemar
    gate: GateResult

    def to_json(self) -> dict[str, Any]:
        """As JSON; what cannot be known is null."""
        document: dict[str, Any] = null_for_nan(asdict(self))
        document["gate"]["reasons"] = list(self.gate.reasons)
        return document


def compare_models(
    champion: ModelFolder,
    challenger: ModelFolder,
    data: LabelledImages,
    *,
    policy: PairedConfig,
    config: EvaluateConfig,
) -> PairedComparison:
    """Run the graphs that are or will be served over the same images, and compare their answers.

    Args:
        champion: what is served now.
        challenger: of the same classes.
        data: images that neither has learned from.
        policy: margins.
        config: of resampling, and the batch size.
    Raises:
        InputError: the models' classes differ, or the images were made another way than a model's own.
    """
    check_comparable(champion, challenger)
    labels = [labels_of_model(model, data) for model in (champion, challenger)]  # each refuses what is not of its kind
    before, after = (
        open_graph(model).run(data.images, batch_size=config.batch_size).probabilities
        for model in (champion, challenger)
    )
    return compare(before, after, labels[1], data.groups, policy=policy, config=config)


def check_comparable(champion: ModelFolder, challenger: ModelFolder) -> None:
    """Refuse two models that do not tell the same classes apart.

    Raises:
        InputError: they do not.
    """
    theirs, ours = champion.config.taxonomy.names, challenger.config.taxonomy.names
    if theirs != ours:
        raise InputError(
            f"the champion tells {', '.join(theirs)} apart, the challenger {', '.join(ours)}: they cannot be compared. "
            "Train the challenger on a dataset version of the champion's classes."
        )


def compare(
    champion: FloatArray,
    challenger: FloatArray,
    labels: IntArray,
    groups: npt.NDArray[Any],
    *,
    policy: PairedConfig,
    config: EvaluateConfig,
) -> PairedComparison:
    """Compare two models' probabilities of the same images.

    Args:
        champion: probabilities, float (images, classes), rows sum to 1.
        challenger: likewise.
        labels: int (images,), class indices.
        groups: (images,), the patient of each image, or the image itself where patients are not known.
        policy: margins.
        config: of resampling.
    Raises:
        InputError: the arrays differ in length, or are no probabilities.
    """
    for probabilities in (champion, challenger):
        check(probabilities, labels)
    if len(groups) != len(labels):
        raise InputError(f"{len(labels)} labels and {len(groups)} groups: lengths differ.")
    found = differences(champion, challenger, labels, groups, config)
    return PairedComparison(
        n=len(labels),
        groups=len(np.unique(groups)),
        level=config.level,
        differences=found,
        mcnemar=mcnemar(champion.argmax(axis=1) == labels, challenger.argmax(axis=1) == labels),
        gate=decide(found, policy),
    )


def mcnemar(champion_right: npt.NDArray[np.bool_], challenger_right: npt.NDArray[np.bool_]) -> McNemar:
    """McNemar's exact test, two-sided.

    Args:
        champion_right: bool (images,).
        challenger_right: bool (images,).
    Returns:
        With a p-value of 1 where no image tells the models apart.
    """
    first = int((champion_right & ~challenger_right).sum())
    second = int((challenger_right & ~champion_right).sum())
    return McNemar(first, second, _binomial_p(min(first, second), first + second))


def decide(told: dict[str, Difference], policy: PairedConfig) -> GateResult:
    """Whether the challenger is not worse by more than the margins."""
    margins = (("accuracy", policy.accuracy_margin_points), ("auroc_macro", policy.auroc_margin_points))
    return GateResult.of([margin_line(name, told[name], points) for name, points in margins])


def margin_line(name: str, found: Difference, points: float) -> Line:
    """Whether the challenger is not worse by more than a margin: the low end decides. Not known is no success.

    Args:
        name: `accuracy` or `auroc_macro`.
        found: of both models.
        points: percentage points that it may be worse by.
    """
    line = f"{name.removesuffix('_macro')}_margin_points"
    if not np.isfinite(found.low):
        return Line(line, False, f"the difference in {name} is not known: too few patients or classes")
    holds = 100 * found.low >= -points
    text = f"{name} differs by {100 * found.value:+.2f} points ({100 * found.low:+.2f} to {100 * found.high:+.2f})"
    return Line(line, holds, f"{text}, whose low end is {'not ' if holds else ''}below -{points:g}")


def differences(
    champion: FloatArray, challenger: FloatArray, labels: IntArray, groups: npt.NDArray[Any], config: EvaluateConfig
) -> dict[str, Difference]:
    """Both models' `accuracy` and `auroc_macro`, and the interval of their difference over the same draws of patients.

    Args:
        champion: probabilities, float (images, classes), rows sum to 1.
        challenger: likewise.
        labels: int (images,), class indices.
        groups: (images,), the patient of each image.
        config: of resampling.
    Returns:
        NaN bounds of fewer than two patients, or where a figure cannot be known.
    """
    models = (champion, challenger)
    names = ("accuracy", "auroc_macro")
    values = [metrics.overall(probabilities, labels) for probabilities in models]
    drawn: dict[str, list[npt.NDArray[np.float64]]] = {name: [] for name in names}
    known, place = np.unique(groups, return_inverse=True)
    patients, classes = len(known), len(np.unique(labels))
    if patients > 1:
        everybody = with_made_up(models, labels, place)
        right = [probabilities.argmax(axis=1) == everybody.labels for probabilities in everybody.models]
        for times in bootstrap.draws(everybody.patients, resamples=config.resamples, seed=config.seed):
            weights = times * everybody.sizes
            accuracies = [metrics.weighted_accuracy(each, weights) for each in right]
            areas = [metrics.macro_auroc(each, everybody.labels, weights) for each in everybody.models]
            drawn["accuracy"].append(accuracies[1] - accuracies[0])
            drawn["auroc_macro"].append(areas[1] - areas[0])
    # a patient who is read as another class is lost to that one's area as well: of two classes they count twice
    worth = {"accuracy": 1.0, "auroc_macro": classes / max(classes - 1, 1)}
    found = {}
    for name in names:
        before, after = values[0][name], values[1][name]
        unseen = worth[name] * unseen_at_most(patients, config.level)
        bounds = percentile(np.concatenate([np.empty(0), *drawn[name]]), config.level)
        low = np.maximum(np.minimum(bounds.low, after - before - unseen), -1.0)  # NaN stays NaN
        high = np.minimum(np.maximum(bounds.high, after - before + unseen), 1.0)
        found[name] = Difference(before, after, after - before, float(low), float(high))
    return found


def _binomial_p(fewer: int, images: int) -> float:
    """Two-sided p-value of at most `fewer` of `images` coin tosses on one side; whole numbers until the last step."""
    ways, total = 1, 0
    for count in range(fewer + 1):
        total += ways
        ways = ways * (images - count) // (count + 1)
    return min(1.0, float(2 * total / 2**images))
