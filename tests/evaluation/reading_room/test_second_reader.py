"""The second reader's figures, against physicians who are drawn by lot and read image by image."""

import itertools
import json
import math

import numpy as np
import pytest
from scipy.stats import binomtest

from secondread.config.evaluate import EvaluateConfig
from secondread.config.second_reader import FirstReader, SecondReaderConfig
from secondread.errors import InputError
from secondread.evaluation.reading_room.second_reader import SecondReader, normal_classes, second_reader

CLASSES = ("cxr-covid", "cxr-normal", "cxr-opacity")
NORMAL = 1
QUICK = EvaluateConfig(resamples=100, seed=3)
FIGURES = ("closed", "errors", "caught", "missed", "missed_disease", "needless")


def answers(images: int, *, seed: int = 0, gain: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, images)
    scores = rng.dirichlet(np.ones(3), images)
    scores[np.arange(images), labels] += gain
    scores = scores.round(2) + 0.01  # ties
    return scores / scores.sum(axis=1, keepdims=True), labels


def found(
    probabilities: np.ndarray, labels: np.ndarray, groups: np.ndarray | None = None, **given: object
) -> SecondReader:
    settings = {"classes": CLASSES, "confidence_at_least": 0.5, "config": QUICK, **given}
    return second_reader(probabilities, labels, np.arange(len(labels)) if groups is None else groups, **settings)


def of_a_physician(probabilities: np.ndarray, labels: np.ndarray, errs: np.ndarray, at_least: float) -> dict:
    """What happens to each study of a physician whose errors are known, one after the other, for 1,000."""
    counts = dict.fromkeys(FIGURES, 0)
    for row, label, error in zip(probabilities, labels, errs, strict=True):
        says_diseased = (label != NORMAL) != error
        closed = row.max() >= at_least and (row.argmax() != NORMAL) == says_diseased
        counts["closed"] += closed
        counts["errors"] += error
        counts["caught"] += error and not closed
        counts["missed"] += error and closed
        counts["missed_disease"] += error and closed and label != NORMAL
        counts["needless"] += not error and not closed
    return {name: 1_000 * count / len(labels) for name, count in counts.items()}


def hardest_first(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Confidently wrong, then less and less so, then right, the least confident first."""
    right = (probabilities.argmax(axis=1) == NORMAL) == (labels == NORMAL)
    confidence = probabilities.max(axis=1)
    return np.argsort(np.where(right, confidence, -confidence), kind="stable")


@pytest.mark.parametrize("shared", [0.0, 0.4, 1.0])
def test_expected_figures_are_the_mean_over_physicians_drawn_by_lot(shared: float) -> None:
    probabilities, labels = answers(50)
    reader = FirstReader(sensitivity=0.7, specificity=0.85, shared=shared)
    rng = np.random.default_rng(1)
    order, rate = hardest_first(probabilities, labels), np.where(labels == NORMAL, 0.15, 0.3)
    physicians = []
    for _ in range(2_000):
        errs = rng.random(50) < rate
        if rng.random() < shared:  # all on the hardest; what is left of a whole error falls on the next by lot
            errs[:] = False
            for side, share in ((labels == NORMAL, 0.15), (labels != NORMAL, 0.3)):
                wanted = share * side.sum()
                whole = int(wanted) + (rng.random() < wanted % 1)
                errs[[image for image in order if side[image]][:whole]] = True
        physicians.append(of_a_physician(probabilities, labels, errs, 0.5))
    expected = found(probabilities, labels, reader=reader)
    for name in FIGURES:
        drawn = np.array([each[name] for each in physicians])
        error = drawn.std() / math.sqrt(len(drawn)) + 1e-9
        assert abs(getattr(expected, name).value - drawn.mean()) < 4.5 * error, name


def test_errors_that_are_shared_as_far_as_possible_are_the_worst_case() -> None:
    """No choice of two diseased and one normal study to err on gets more errors closed."""
    probabilities, labels = answers(16, seed=4, gain=0.15)
    diseased, normal = np.flatnonzero(labels != NORMAL), np.flatnonzero(labels == NORMAL)
    reader = FirstReader(1 - 2 / len(diseased), 1 - 1 / len(normal), shared=1.0)
    worst = 0.0
    for pair in itertools.combinations(diseased, 2):
        for single in normal:
            errs = np.isin(np.arange(16), [*pair, single])
            worst = max(worst, of_a_physician(probabilities, labels, errs, 0.45)["missed"])
    assert worst > 0
    assert found(probabilities, labels, reader=reader, confidence_at_least=0.45).missed.value == pytest.approx(worst)


def test_independence_flatters() -> None:
    probabilities, labels = answers(200, gain=0.2)
    missed = [found(probabilities, labels, reader=FirstReader(0.8, 0.9, shared)).missed.value for shared in (0, 0.5, 1)]
    assert missed[0] < missed[1] < missed[2]


def test_every_study_and_every_error_is_somewhere() -> None:
    probabilities, labels = answers(80)
    result = found(probabilities, labels)
    assert result.errors.value == pytest.approx(result.caught.value + result.missed.value)
    sent = result.caught.value + result.needless.value
    assert result.closed.value + sent == pytest.approx(1_000)
    assert result.missed_disease.value <= result.missed.value


def test_a_physician_without_errors_has_none_missed() -> None:
    probabilities, labels = answers(80)
    result = found(probabilities, labels, reader=FirstReader(1.0, 1.0))
    assert (result.errors.value, result.missed.value, result.caught.value) == (0, 0, 0)
    agreed = (probabilities.argmax(axis=1) == NORMAL) == (labels == NORMAL)
    assert result.closed.value == pytest.approx(1_000 * (agreed & (probabilities.max(axis=1) >= 0.5)).mean())


def test_without_a_threshold_that_holds_everything_is_sent_on() -> None:
    probabilities, labels = answers(80)
    result = found(probabilities, labels, confidence_at_least=math.inf)
    assert (result.closed.value, result.missed.value) == (0, 0)
    assert result.caught.value == pytest.approx(result.errors.value)


def test_intervals_are_those_of_a_loop_over_copied_images() -> None:
    probabilities, labels = answers(60, gain=0.2)
    groups = np.arange(60) // 2
    result = found(probabilities, labels, groups)
    rng, drawn = np.random.default_rng(QUICK.seed), []
    for counts in rng.multinomial(30, np.full(30, 1 / 30), size=QUICK.resamples):
        copies = np.concatenate([np.flatnonzero(groups == name) for name in range(30) for _ in range(counts[name])])
        drawn.append(found(probabilities[copies], labels[copies]))
    for name in FIGURES:
        values = [getattr(each, name).value for each in drawn]
        figure = getattr(result, name)
        expected = np.percentile(values, [2.5, 97.5], method="weibull")
        assert (figure.low, figure.high) == pytest.approx(tuple(expected)), name


def test_another_prevalence_is_that_of_repeated_images() -> None:
    probabilities, labels = answers(60)
    copies = np.concatenate([np.arange(60), *[np.flatnonzero(labels == NORMAL)] * 9])
    repeated = found(probabilities[copies], labels[copies])
    share = float((labels[copies] != NORMAL).mean())
    weighted = found(probabilities, labels, room=SecondReaderConfig(prevalence=share))
    assert repeated.prevalence == pytest.approx(share)
    for name in FIGURES:
        assert getattr(weighted, name).value == pytest.approx(getattr(repeated, name).value), name
    assert math.isnan(weighted.errors.low)  # given, not measured


def test_what_no_image_shows_may_still_happen() -> None:
    """A model that is never wrong misses nothing here; the interval says what 40 patients can promise."""
    labels = np.arange(40) % 3
    result = found(np.eye(3)[labels] * 0.97 + 0.01, labels, reader=FirstReader(0.5, 0.5))
    exact = binomtest(0, 40).proportion_ci(method="exact").high
    assert (result.missed.value, result.missed.low) == (0, 0)
    # as many diseased may be surely wrong: half of their readings are errors, by lot or all that can be on them
    assert result.missed.high == pytest.approx(1_000 * (0.5 * 0.5 * exact + 0.5 * exact))
    careful = found(np.eye(3)[labels] * 0.97 + 0.01, labels, reader=FirstReader(0.99, 0.99))
    assert careful.missed.high < careful.errors.value  # there are no more errors to miss
    worst = found(np.eye(3)[labels] * 0.97 + 0.01, labels, reader=FirstReader(0.99, 0.99, shared=1.0))
    assert worst.missed_disease.high == pytest.approx(10 * (labels != NORMAL).mean())
    stated = found(
        np.eye(3)[labels] * 0.97 + 0.01,
        labels,
        reader=FirstReader(0.5, 0.5),
        room=SecondReaderConfig(prevalence=0.1),
    )
    of_the_diseased = binomtest(0, int((labels != NORMAL).sum())).proportion_ci(method="exact").high
    assert stated.missed_disease.high == pytest.approx(0.75 * 100 * of_the_diseased)


@pytest.mark.parametrize("prevalence", [None, 0.1])
@pytest.mark.parametrize("shared", [0.0, 0.5, 1.0])
def test_a_wrong_closure_more_never_lowers_a_bound_and_the_whole_is_never_below_its_part(
    prevalence: float | None, shared: float
) -> None:
    """Of 150 patients 0 to 4 diseased ones are surely called normal."""
    labels, rows = np.arange(150) % 3, []
    for mistakes in range(5):
        wrong = (labels == 0) & (np.arange(150) < 3 * mistakes)
        answers = np.eye(3)[np.where(wrong, NORMAL, labels)] * 0.97 + 0.01
        room = SecondReaderConfig(prevalence=prevalence)
        rows.append(found(answers, labels, reader=FirstReader(shared=shared), room=room))
    for row in rows:
        assert row.missed.high >= row.missed_disease.high
        assert row.missed.low <= row.missed.value <= row.missed.high
    for one, more in itertools.pairwise(rows):
        assert one.missed.high <= more.missed.high + 1e-9
        assert one.missed_disease.high <= more.missed_disease.high + 1e-9


def test_the_name_says_which_class_is_normal() -> None:
    names = ("cxr-normal", "Normal", "abnormal", "oct_normal", "ultrasound-normal-benign", "normality")
    assert normal_classes(names).tolist() == [True, True, False, True, False, False]
    assert normal_classes(names, ["normality"]).tolist() == [False] * 5 + [True]
    with pytest.raises(InputError, match=r"normal class 'healthy' is not one of cxr-normal, "):
        normal_classes(names, ["healthy"])


@pytest.mark.parametrize(
    ("classes", "room", "said"),
    [
        (("a", "b", "c"), SecondReaderConfig(), "no class is known to be without disease: name it in normal_classes."),
        (("a", "b", "c"), SecondReaderConfig(normal_classes=("a", "b", "c")), "every class is without disease"),
        (("a", "normal", "c"), SecondReaderConfig(prevalence=0.1), "no image is normal"),
    ],
)
def test_what_cannot_be_known_is_null_with_a_reason(
    classes: tuple[str, ...], room: SecondReaderConfig, said: str
) -> None:
    probabilities, labels = answers(30)
    labels = np.where(labels == NORMAL, 0, labels)
    result = found(probabilities, labels, classes=classes, room=room)
    assert result.reason.startswith(said)
    document = json.loads(json.dumps(result.to_json(), allow_nan=False))
    for name in FIGURES:
        assert document[name] == {"value": None, "low": None, "high": None}


def test_one_patient_gives_figures_without_an_interval() -> None:
    probabilities, labels = answers(20, gain=0.1)
    document = found(probabilities, labels, np.zeros(20)).to_json()
    assert document["closed"]["value"] > 0
    assert (document["closed"]["low"], document["closed"]["high"]) == (None, None)
    assert document["reader"] == {"sensitivity": 0.9, "specificity": 0.97, "shared": 0.5}


def test_bad_input_is_refused() -> None:
    probabilities, labels = answers(10)
    with pytest.raises(InputError, match="one group an image and one name a column"):
        found(probabilities, labels, np.arange(9))
    with pytest.raises(InputError, match="one group an image and one name a column"):
        found(probabilities, labels, classes=("a", "normal"))
    with pytest.raises(InputError, match="apply softmax"):
        found(10 * probabilities, labels)
    with pytest.raises(InputError, match=r"shared must be a share from 0 to 1, not 1\.5"):
        FirstReader(shared=1.5)
    with pytest.raises(InputError, match="prevalence must be a share from 0 to 1 or null, not -1"):
        SecondReaderConfig(prevalence=-1)
