"""For whom the model is worse: against fairlearn, against planted gaps, and by how often chance alone is flagged."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import MetricFrame
from sklearn.metrics import accuracy_score, recall_score, roc_auc_score

from secondread.config.evaluate import EvaluateConfig
from secondread.config.subgroups import SubgroupConfig
from secondread.data.manifest import typed
from secondread.errors import InputError
from secondread.evaluation.subgroups.gaps import factors_of, measure_subgroups
from secondread.evaluation.subgroups.results import ACCURACY, AUROC, SAME_MIX, SENSITIVITY, Subgroups

CLASSES = ("normal", "covid", "tuberculosis")
DRAWS = EvaluateConfig(resamples=200)


def answers(labels: np.ndarray, right: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    """Probabilities of three classes whose largest is the label where `right`, else the next class."""
    probabilities = rng.dirichlet(np.ones(3), len(labels)) * 0.4
    probabilities[np.arange(len(labels)), np.where(right, labels, (labels + 1) % 3)] += 0.6
    return probabilities


def films(patients: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.random.Generator]:
    """Labels, patients (two films each, alike in class) and sex, of patients drawn evenly."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(rng.integers(0, 3, patients), 2)
    sex = np.repeat(rng.choice(["F", "M"], patients), 2).astype(object)
    return labels, np.repeat(np.arange(patients), 2), sex, rng


def measured(
    labels: np.ndarray,
    right: np.ndarray,
    patients: np.ndarray,
    *,
    config: EvaluateConfig = DRAWS,
    **factors: np.ndarray,
) -> Subgroups:
    probabilities = answers(labels, right, rng=np.random.default_rng(1))
    return measure_subgroups(probabilities, labels, patients, factors, classes=CLASSES, config=config)


def group(found: Subgroups, factor: str, name: str):
    (groups,) = (each.groups for each in found.factors if each.name == factor)
    return next(each for each in groups if each.name == name)


def test_every_figure_of_every_group_is_that_of_fairlearn() -> None:
    labels, patients, sex, rng = films(150)
    view = np.where(rng.random(300) < 0.3, "AP", "PA").astype(object)
    probabilities = answers(labels, rng.random(300) < 0.8, rng=rng)
    predicted = probabilities.argmax(axis=1)
    found = measure_subgroups(
        probabilities, labels, patients, {"sex": sex, "view": view}, classes=CLASSES, config=DRAWS
    )
    for factor, values in (("sex", sex), ("view", view)):
        frame = MetricFrame(
            metrics={
                "accuracy": accuracy_score,
                "balanced": lambda y, p: recall_score(y, p, average="macro"),
                **{
                    name: lambda y, p, c=index: recall_score(y, p, labels=[c], average="macro")
                    for index, name in enumerate(CLASSES)
                },
            },
            y_true=labels,
            y_pred=predicted,
            sensitive_features=pd.Series(values, name=factor),
        )
        (found_factor,) = (each for each in found.factors if each.name == factor)
        for item in found_factor.groups:
            expected = frame.by_group.loc[item.name]
            assert item.accuracy == pytest.approx(expected["accuracy"])
            assert item.gap(SAME_MIX).group == pytest.approx(expected["balanced"])
            for name in CLASSES:
                assert item.sensitivity[name] == pytest.approx(expected[name])
        assert found_factor.largest is not None
        assert -found_factor.largest.gap.value == pytest.approx(frame.difference()["balanced"])


def test_counts_and_auroc_are_those_of_the_groups_own_images() -> None:
    labels, patients, sex, rng = films(60)
    probabilities = answers(labels, rng.random(120) < 0.7, rng=rng)
    found = measure_subgroups(probabilities, labels, patients, {"sex": sex}, classes=CLASSES, config=DRAWS)
    women = sex == "F"
    item = group(found, "sex", "F")
    assert (item.images, item.patients) == (women.sum(), len(set(patients[women])))
    for index, name in enumerate(CLASSES):
        expected = roc_auc_score(labels[women] == index, probabilities[women, index])
        assert item.auroc[name] == pytest.approx(expected)


def test_a_planted_gap_is_found_flagged_and_said() -> None:
    labels, patients, sex, rng = films(400)
    right = rng.random(800) < np.where(sex == "F", 0.7, 0.9)
    found = measured(labels, right, patients, sex=sex)
    women, men = (group(found, "sex", name).gap(SAME_MIX) for name in "FM")
    assert (women.verdict, men.verdict) == ("worse", "better")
    assert women.low <= -0.2 <= women.high < 0
    assert (men.value, men.low, men.high) == pytest.approx((-women.value, -women.high, -women.low))
    assert any("sex F" in text and "read worse" in text for text in found.findings())
    assert not any("sex M" in text for text in found.findings())


def test_a_gap_in_one_class_alone_is_found_in_that_class() -> None:
    labels, patients, sex, rng = films(500)
    right = rng.random(1000) < np.where((sex == "F") & (labels == 2), 0.5, 0.9)
    women = group(measured(labels, right, patients, sex=sex), "sex", "F")
    assert women.gap(SENSITIVITY, "tuberculosis").verdict == "worse"
    assert women.gap(SENSITIVITY, "normal").verdict == "no gap shown"


def test_a_group_with_harder_classes_is_not_flagged() -> None:
    """Bedside films show the ill, and the ill are harder: accuracy differs, but nobody is read worse for the view."""
    rng = np.random.default_rng(3)
    view = np.repeat(["AP", "PA"], 500).astype(object)
    labels = np.where(view == "AP", rng.choice(3, 1000, p=[0.1, 0.3, 0.6]), rng.choice(3, 1000, p=[0.8, 0.1, 0.1]))
    right = rng.random(1000) < np.array([0.98, 0.8, 0.65])[labels]
    found = measured(labels, right, np.arange(1000), view=view)
    bedside = group(found, "view", "AP")
    assert bedside.gap(ACCURACY).high < 0
    assert bedside.gap(ACCURACY).verdict == "not judged"
    assert bedside.gap(SAME_MIX).verdict == "no gap shown"
    assert found.findings() == (next(text for text in found.findings() if "it has other classes" in text),)


def test_chance_gaps_are_flagged_no_more_often_than_the_level_says() -> None:
    """Two factors, five groups, four figures each, films of a patient alike: one flag anywhere counts."""
    flagged, trials = 0, 150
    for trial in range(trials):
        rng = np.random.default_rng(1000 + trial)
        labels = np.repeat(rng.integers(0, 3, 150), 2)
        skill = np.repeat(rng.beta(4.5, 0.5, 150), 2)  # of each patient, mean 0.9
        sex, site = (np.repeat(rng.choice(list(names), 150), 2).astype(object) for names in ("FM", "ABC"))
        patients = np.repeat(np.arange(150), 2)
        found = measured(labels, rng.random(300) < skill, patients, sex=sex, site=site)
        flagged += any(gap.flagged for factor in found.factors for each in factor.groups for gap in each.gaps)
    assert flagged / trials <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / trials)


def test_a_group_without_a_mistake_is_not_flagged_for_that_alone() -> None:
    """30 of 30 happens one time in five where 95 % are right."""
    labels = np.tile([0, 1, 2], 110)
    site = np.where(np.arange(330) < 30, "small", "large").astype(object)
    right = (np.arange(330) < 30) | (np.arange(330) % 20 != 0)
    gap = group(measured(labels, right, np.arange(330), site=site), "site", "small").gap(SAME_MIX)
    assert gap.group == 1
    assert gap.low < 0 < gap.high


def test_no_gap_is_said_to_be_wider_than_all_against_nothing() -> None:
    labels = np.tile([0, 1, 2], 110)
    site = np.where(np.arange(330) < 60, "small", "large").astype(object)
    gaps = group(measured(labels, np.arange(330) < 60, np.arange(330), site=site), "site", "small").gaps
    told = [gap for gap in gaps if gap.verdict == "better"]
    assert all(-1 <= gap.low <= gap.high <= 1 for gap in told)
    assert max(gap.high for gap in told) == 1


def test_alike_films_of_a_patient_widen_the_interval() -> None:
    rng = np.random.default_rng(5)
    labels, right = np.tile([0, 1, 2], 100), np.repeat(rng.random(100) < 0.8, 3)
    labels = np.repeat(np.tile([0, 1, 2], 34)[:100], 3)
    sex = np.repeat(rng.choice(["F", "M"], 100), 3).astype(object)
    by_patient, by_image = (
        group(measured(labels, right, patients, sex=sex), "sex", "F").gap(ACCURACY)
        for patients in (np.repeat(np.arange(100), 3), np.arange(300))
    )
    assert by_patient.high - by_patient.low > 1.4 * (by_image.high - by_image.low)


def test_more_looks_make_wider_intervals() -> None:
    labels, patients, sex, rng = films(200)
    right = rng.random(400) < 0.8
    others = {f"site-{index}": np.repeat(rng.choice(["A", "B"], 200), 2).astype(object) for index in range(8)}
    few, many = measured(labels, right, patients, sex=sex), measured(labels, right, patients, sex=sex, **others)
    assert (few.looks, many.looks) == (5, 45)
    assert many.width > few.width > 1.96


def test_a_group_that_is_too_small_is_said_to_be() -> None:
    labels, patients, *_ = films(200)
    site = np.where(patients < 8, "tiny", "large").astype(object)
    found = measured(labels, patients > 8, patients, site=site)
    tiny = group(found, "site", "tiny")
    assert tiny.accuracy == 0
    assert {gap.verdict for gap in tiny.gaps} == {"too small to tell"}
    assert all(math.isnan(gap.low) for gap in tiny.gaps)
    assert found.factors[0].largest is None
    assert found.looks == 0


def test_a_class_that_is_rare_in_the_group_is_left_out_of_its_comparison() -> None:
    labels, patients, sex, rng = films(300)
    labels[(sex == "F") & (labels == 2) & (patients > 20)] = 0
    women = group(measured(labels, rng.random(600) < 0.8, patients, sex=sex), "sex", "F")
    assert women.gap(SAME_MIX).classes == ("normal", "covid")
    assert women.gap(SENSITIVITY, "tuberculosis").verdict == "too small to tell"
    assert not math.isnan(women.sensitivity["tuberculosis"])


def test_those_of_whom_nothing_is_known_are_listed_and_compared_with_nobody() -> None:
    labels, patients, sex, rng = films(200)
    sex[patients < 60] = ""
    found = measured(labels, rng.random(400) < 0.8, patients, sex=sex)
    unknown = group(found, "sex", "not known")
    assert (unknown.patients, unknown.gaps) == (60, ())
    women, men = (sex == name for name in "FM")
    assert group(found, "sex", "F").gap(ACCURACY).others == group(found, "sex", "M").accuracy
    assert group(found, "sex", "F").images + group(found, "sex", "M").images == (women | men).sum()


def test_a_factor_with_one_group_has_no_gap() -> None:
    labels, patients, _, rng = films(50)
    found = measured(labels, rng.random(100) < 0.8, patients, modality=np.full(100, "cxr", dtype=object))
    assert group(found, "modality", "cxr").gaps == ()
    assert found.factors[0].largest is None


def test_the_largest_gap_of_a_factor_is_that_of_the_pair_farthest_apart() -> None:
    rng = np.random.default_rng(8)
    site = np.repeat(["A", "B", "C"], 300).astype(object)
    right = rng.random(900) < np.repeat([0.9, 0.8, 0.55], 300)
    found = measured(np.tile([0, 1, 2], 300), right, np.arange(900), site=site)
    largest = found.factors[0].largest
    assert largest is not None
    assert (largest.worse, largest.better, largest.gap.verdict) == ("C", "A", "worse")
    assert largest.gap.value == pytest.approx(largest.gap.group - largest.gap.others)


def test_auroc_that_all_pairs_agree_on_has_no_interval() -> None:
    labels, patients, sex, _ = films(200)
    gap = group(measured(labels, np.ones(400, bool), patients, sex=sex), "sex", "F").gap(AUROC)
    assert gap.value == 0
    assert math.isnan(gap.low)


def test_the_gap_in_auroc_lies_in_its_interval() -> None:
    labels, patients, sex, rng = films(200)
    gap = group(measured(labels, rng.random(400) < 0.8, patients, sex=sex), "sex", "F").gap(AUROC)
    assert gap.low < gap.value < gap.high
    assert gap.classes == CLASSES


def test_json_says_null_where_nothing_is_known() -> None:
    labels, patients, sex, rng = films(100)
    sex[patients > 5] = "M"
    document = measured(labels, rng.random(200) < 0.8, patients, sex=sex).to_json()
    assert "NaN" not in json.dumps(document)
    assert document["factors"][0]["groups"][0]["gaps"][0]["low"] is None


def test_factors_come_from_the_manifest() -> None:
    rows = typed(
        pd.DataFrame({"sex": ["F", ""], "age": [34.0, float("nan")], "view": ["AP", ""], "modality": ["cxr", "cxr"]})
    )
    found = {name: list(values) for name, values in factors_of(rows).items()}
    assert found["sex"] == ["F", "not known"]
    assert found["age_band"] == ["20-39", "not known"]
    assert found["view"] == ["AP", "not known"]
    assert found["source"] == ["not known", "not known"]
    assert found["modality"] == ["cxr", "cxr"]


def test_arrays_that_do_not_fit_are_refused() -> None:
    labels, patients, sex, rng = films(20)
    probabilities = answers(labels, np.ones(40, bool), rng=rng)
    with pytest.raises(InputError, match="39 values of sex"):
        measure_subgroups(probabilities, labels, patients, {"sex": sex[:39]}, classes=CLASSES)
    with pytest.raises(InputError, match="2 class names"):
        measure_subgroups(probabilities, labels, patients, {"sex": sex}, classes=CLASSES[:2])


@pytest.mark.parametrize("name", ["min_patients", "min_class_images", "min_class_patients"])
def test_one_case_is_never_enough(name: str) -> None:
    with pytest.raises(InputError, match=f"{name} must be at least 2"):
        SubgroupConfig(**{name: 1})
