"""Two models on the same images, against a plain loop over copied images and SciPy's binomial test."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from scipy.stats import binom, binomtest
from sklearn.metrics import roc_auc_score

from secondread.config.evaluate import EvaluateConfig
from secondread.config.paired import PairedConfig
from secondread.errors import InputError
from secondread.evaluation.evaluate import evaluate
from secondread.evaluation.labelled_images import LabelledImages
from secondread.evaluation.paired.difference import Difference, compare, compare_models, decide, differences, mcnemar
from secondread.evaluation.paired.report import comparison_markdown, render_comparison
from secondread.model.folder import FP32_GRAPH, ModelFolder

DRAWS = EvaluateConfig(resamples=200, seed=3, stress_images=0, strange_images=0, timed_runs=0)


def answers(images: int, *, gain: float, seed: int, labels: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet(np.ones(3), images)
    scores[np.arange(images), labels] += gain
    scores = scores.round(2) + 0.01  # ties
    return np.asarray(scores / scores.sum(axis=1, keepdims=True))


def compared(first_gain: float, second_gain: float, *, images: int = 150, config: EvaluateConfig = DRAWS) -> tuple:
    labels = np.random.default_rng(0).integers(0, 3, images)
    models = [
        answers(images, gain=gain, seed=seed, labels=labels) for seed, gain in ((1, first_gain), (2, second_gain))
    ]
    groups = np.arange(images) // 3
    result = compare(*models, labels, groups, policy=PairedConfig(), config=config)
    return result, models, labels, groups


def test_the_interval_is_that_of_the_differences_in_a_loop_over_copied_images() -> None:
    """Of the patients and two more, who have a third of three images of each class: whom one model alone can read."""
    result, (before, after), labels, groups = compared(0.3, 0.5)
    rng = np.random.default_rng(DRAWS.seed)
    patients, eye = 50, np.eye(3)
    said = [np.concatenate([before, eye[[1, 2, 0]], eye]), np.concatenate([after, eye, eye[[1, 2, 0]]])]
    truth = np.concatenate([labels, np.arange(3), np.arange(3)])
    everybody = np.concatenate([groups, np.repeat([patients, patients + 1], 3)])
    accuracy, auroc = [], []
    for counts in rng.multinomial(patients + 2, np.full(patients + 2, 1 / (patients + 2)), size=DRAWS.resamples):
        share = np.concatenate([np.ones(150), *2 * [np.bincount(labels) / patients]]) * counts[everybody]
        right = [np.average(model.argmax(axis=1) == truth, weights=share) for model in said]
        areas = [
            np.mean([roc_auc_score(truth == index, model[:, index], sample_weight=share) for index in range(3)])
            for model in said
        ]
        accuracy.append(right[1] - right[0])
        auroc.append(areas[1] - areas[0])
    unseen = binomtest(0, patients).proportion_ci(0.95, method="exact").high
    for name, values, times in (("accuracy", accuracy, 1), ("auroc_macro", auroc, 3 / 2)):
        found = result.differences[name]
        low, high = np.percentile(values, [2.5, 97.5], method="weibull")
        assert found.low == pytest.approx(min(low, found.value - times * unseen))
        assert found.high == pytest.approx(max(high, found.value + times * unseen))
        assert found.value == pytest.approx(found.challenger - found.champion)
        assert found.low < found.value < found.high


def test_the_interval_of_the_difference_is_narrower_than_the_models_own_ones_suggest() -> None:
    """The reason to compare in pairs: the same images are hard for both."""
    labels = np.random.default_rng(0).integers(0, 3, 300)
    before = answers(300, gain=0.3, seed=1, labels=labels)
    after = before.copy()
    after[:20] = answers(20, gain=1.0, seed=5, labels=labels[:20])
    result = compare(before, after, labels, np.arange(300), policy=PairedConfig(), config=DRAWS)
    found = result.differences["accuracy"]
    alone = np.sqrt(found.champion * (1 - found.champion) / 300) * 1.96
    assert found.high - found.low < alone


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (5, 5), (3, 12), (40, 19), (700, 801)])
def test_mcnemar_is_the_exact_binomial_test(first: int, second: int) -> None:
    right = np.array([True] * first + [False] * second + [True] * 50 + [False] * 10)
    other = np.array([False] * first + [True] * second + [True] * 50 + [False] * 10)
    found = mcnemar(right, other)
    assert (found.champion_only, found.challenger_only) == (first, second)
    expected = binomtest(first, first + second, 0.5).pvalue if first + second else 1.0
    assert found.p_value == pytest.approx(expected, rel=1e-9)
    assert mcnemar(other, right).p_value == found.p_value


def test_equal_models_pass_and_a_worse_one_does_not() -> None:
    labels = np.random.default_rng(0).integers(0, 3, 150)
    model = answers(150, gain=0.4, seed=1, labels=labels)
    equal = compare(model, model, labels, np.arange(150), policy=PairedConfig(3.0, 5.0), config=DRAWS)
    assert equal.gate.passed
    assert (equal.mcnemar.p_value, equal.differences["accuracy"].value) == (1.0, 0.0)
    worse, *_ = compared(0.6, 0.2)
    assert not worse.gate.passed
    assert worse.gate.reasons[0].endswith("below -3")
    assert worse.mcnemar.p_value < 0.05


def test_a_margin_is_a_promise_about_the_lower_bound() -> None:
    """A challenger that looks better on too few images is not let in."""
    few, *_ = compared(0.3, 0.32, images=24)
    assert few.differences["accuracy"].low < -0.03
    assert not few.gate.passed


@pytest.mark.parametrize("patients", [5, 60, 150])
def test_models_that_nothing_tells_apart_may_differ_in_what_so_many_patients_cannot_show(patients: int) -> None:
    """An interval of no width would let any challenger in that answers five images as the champion does."""
    labels = np.arange(patients) % 3
    model = answers(patients, gain=2.0, seed=1, labels=labels)
    found = compare(model, model, labels, np.arange(patients), policy=PairedConfig(0.0, 0.0), config=DRAWS)
    # of a kind that none of n patients is, the exact interval's upper end
    unseen = binomtest(0, patients).proportion_ci(0.95, method="exact").high
    # one of three classes taken for another is lost to both areas: 1 / n of the one's third, 1 / n of two thirds
    for name, times in (("accuracy", 1), ("auroc_macro", 3 / 2)):
        assert found.differences[name].low == pytest.approx(-min(1.0, times * unseen))
        assert found.differences[name].high == pytest.approx(min(1.0, times * unseen))
    assert not found.gate.passed


def discordant(patients: int, *, lost: int, won: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two models of which the challenger loses the last images and wins the first, and the labels."""
    labels = np.arange(patients) % 3
    right, wrong = (0.7 * np.eye(3)[answer % 3] + 0.1 for answer in (labels, labels + 1))
    before, after = right.copy(), right.copy()
    before[:won], after[patients - lost :] = wrong[:won], wrong[patients - lost :]
    return before, after, labels


def difference_of(patients: int, *, lost: int, won: int, config: EvaluateConfig = DRAWS) -> dict[str, Difference]:
    return differences(*discordant(patients, lost=lost, won=won), np.arange(patients), config)


@pytest.mark.parametrize("patients", [24, 100, 160])
@pytest.mark.parametrize("lost", [0, 1])
def test_one_image_more_in_favour_of_the_challenger_is_no_proof_and_never_counts_against_it(
    patients: int, lost: int
) -> None:
    """With the challenger alone right on one image no plain draw has it worse, so that any margin would hold."""
    alike = difference_of(patients, lost=0, won=0)
    rows = [difference_of(patients, lost=lost, won=won) for won in range(6)]
    for name in alike:
        found = [row[name] for row in rows]
        half = alike[name].high
        assert all(one.low <= after.low for one, after in pairwise(found))
        assert all(one.high <= after.high for one, after in pairwise(found))
        assert all(each.low <= each.value - half + 1e-12 for each in found)
        assert all(each.high >= min(1.0, each.value + half - 1e-12) for each in found)
    one = rows[1]["accuracy"]
    assert one.low < -0.015
    zero = PairedConfig(accuracy_margin_points=0.0, auroc_margin_points=0.0)
    assert not decide(rows[1], zero).passed


@pytest.mark.parametrize(
    ("patients", "lost", "won"),
    [(60, 0.02, 0.01), (60, 0.01, 0.02), (150, 0.01, 0.01), (150, 0.03, 0.0), (150, 0.0, 0.03)],
)
def test_the_interval_holds_the_true_difference_where_a_few_images_in_a_hundred_tell_the_models_apart(
    patients: int, lost: float, won: float
) -> None:
    rng, trials = np.random.default_rng(7), 200
    missed = 0
    for trial in range(trials):
        counts = rng.multinomial(patients, [lost, won, 1 - lost - won])
        config = replace(DRAWS, seed=trial)
        found = difference_of(patients, lost=int(counts[0]), won=int(counts[1]), config=config)["accuracy"]
        missed += not found.low <= won - lost <= found.high
    assert missed <= binom.ppf(0.99, trials, 0.05)


def test_what_cannot_be_known_is_no_success() -> None:
    labels = np.array([0, 1, 2, 0])
    model = answers(4, gain=1.0, seed=1, labels=labels)
    one = compare(model, model, labels, np.zeros(4), policy=PairedConfig(), config=DRAWS)
    assert not one.gate.passed
    assert "not known" in one.gate.reasons[0]
    assert one.to_json()["differences"]["accuracy"]["low"] is None


def test_both_graphs_are_run(
    quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages], tmp_path: Path
) -> None:
    """A second graph that looks at every quarter upside down, through the same onnxruntime as serving."""
    champion = quarters()
    shutil.copytree(champion.root, tmp_path / "other")
    graph = onnx.load(tmp_path / "other" / FP32_GRAPH)
    for constant in graph.graph.initializer:
        if constant.name == "scale":
            constant.CopyFrom(numpy_helper.from_array(np.array(-32, dtype=np.float32), "scale"))
    onnx.save(graph, tmp_path / "other" / FP32_GRAPH)
    challenger, images = ModelFolder.open(tmp_path / "other"), pictures(200)
    result = compare_models(champion, challenger, images, policy=PairedConfig(), config=DRAWS)
    for side, model in (("champion", champion), ("challenger", challenger)):
        alone = evaluate(model, images, config=DRAWS)
        for name in ("accuracy", "auroc_macro"):
            assert getattr(result.differences[name], side) == pytest.approx(alone.metrics[name].value)
    assert not result.gate.passed
    assert (result.n, result.groups) == (200, 100)


def test_models_of_other_classes_are_not_compared(
    quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages], tmp_path: Path
) -> None:
    champion = quarters()
    shutil.copytree(champion.root, tmp_path / "other")
    text = (tmp_path / "other" / "config.json").read_text()
    (tmp_path / "other" / "config.json").write_text(text.replace("cxr-opacity", "cxr-fracture"))
    with pytest.raises(InputError, match=r"cxr-fracture.*cannot be compared"):
        compare_models(champion, ModelFolder.open(tmp_path / "other"), pictures(), policy=PairedConfig(), config=DRAWS)


def test_a_margin_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="accuracy_margin_points must be from 0 to 100"):
        PairedConfig(accuracy_margin_points=-1)


def test_the_page_has_the_table_and_the_verdict(
    quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages]
) -> None:
    model, images = quarters(synthetic=True), pictures(40)
    result = compare_models(model, model, images, policy=PairedConfig(), config=DRAWS)
    page = render_comparison(result, champion=model, challenger=model, data=images)
    text = comparison_markdown(result, synthetic=True)
    for document in (page, text):
        assert "SYNTHETIC" in document
        assert "+0.00" in document
        assert "not a medical device" in document
        assert "secret" not in document
    assert page.count("<tr>") == (1 + 2) + (1 + 3)  # of the two tables
    assert "http://" not in page
    assert model.digest()[:12] in page
