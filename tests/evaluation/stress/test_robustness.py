"""What breaks a model: brittle predict functions break where they must, and figures are those of a plain loop."""

import json
import logging
import math

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from secondread.config.robustness import RobustnessConfig
from secondread.errors import InputError
from secondread.evaluation.stress.corruptions import CORRUPTIONS, corrupt
from secondread.evaluation.stress.robustness import measure_robustness

SMALL = RobustnessConfig(images_at_most=60, resamples=200)
SIDE = 32


def halves(images: int = 90, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images whose left (class 0) or right half (class 1) is a little brighter, two a patient."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(rng.integers(0, 2, images // 2), 2)
    pixels = rng.normal(110, 6, (images, 1, SIDE, SIDE))
    for image, label in zip(pixels, labels, strict=True):
        image[0, :, label * SIDE // 2 : (label + 1) * SIDE // 2] += 24
    return np.clip(pixels, 0, 255).astype(np.uint8), labels, np.repeat(np.arange(images // 2), 2)


def by_halves(batch: np.ndarray) -> np.ndarray:
    """Compares both halves: what changes both alike changes nothing."""
    left, right = batch[..., : SIDE // 2].mean(axis=(1, 2, 3)), batch[..., SIDE // 2 :].mean(axis=(1, 2, 3))
    second = 1 / (1 + np.exp((left - right) / 8))
    return np.stack([1 - second, second], axis=1)


def by_brightness(batch: np.ndarray) -> np.ndarray:
    """As `by_halves`, but says class 1 whenever an image is not as bright as those it knows."""
    odd = np.abs(batch.mean(axis=(1, 2, 3)) - 122) > 12
    return np.where(odd[:, None], [0.05, 0.95], by_halves(batch))


def test_what_changes_nothing_for_a_model_costs_it_nothing() -> None:
    found = measure_robustness(by_halves, *halves(), config=SMALL, names=["brightness", "gamma", "blur"])
    assert found.clean["accuracy"] == 1
    for figures in found.corruptions["brightness"]:
        assert figures["accuracy"].difference == 0
        assert math.isnan(figures["accuracy"].low)  # no width: no draw differs
    assert found.mean_loss("blur") == 0


def test_a_brittle_model_breaks_by_what_it_is_brittle_to_and_by_nothing_else() -> None:
    found = measure_robustness(by_brightness, *halves(), config=SMALL, names=["brightness", "blur", "jpeg"])
    strongest = found.corruptions["brightness"][-1]["accuracy"]
    assert strongest.high < -0.3
    assert found.mean_loss("brightness") > 0.2
    assert found.mean_loss("blur") == 0
    assert found.mean_loss("jpeg") == 0


def test_figures_are_those_of_a_plain_loop() -> None:
    images, labels, patients = halves(40)
    config = RobustnessConfig(images_at_most=40, resamples=200, batch_size=7, ece_bins=4, seed=3)
    found = measure_robustness(by_brightness, images, labels, patients, config=config, names=["noise", "brightness"])
    for name in ("noise", "brightness"):
        for strength, figures in enumerate(found.corruptions[name], start=1):
            probabilities = by_brightness(corrupt(images, name, strength, seed=3))
            answer, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
            assert figures["accuracy"].value == pytest.approx(accuracy_score(labels, answer))
            assert figures["balanced_accuracy"].value == pytest.approx(balanced_accuracy_score(labels, answer))
            assert figures["confidence"].value == pytest.approx(confidence.mean())


def test_calibration_error_is_that_of_bins_with_as_many_images_each() -> None:
    images, labels, patients = halves(40)
    config = RobustnessConfig(images_at_most=40, resamples=100, ece_bins=4)
    found = measure_robustness(by_halves, images, labels, patients, config=config, names=["noise"])
    probabilities = by_halves(corrupt(images, "noise", 5))
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    assert len(np.unique(confidence)) == 40
    slices = np.split(np.argsort(confidence), 4)
    gaps = [abs(right[part].mean() - confidence[part].mean()) for part in slices]
    assert found.corruptions["noise"][4]["ece"].value == pytest.approx(np.mean(gaps))


def test_intervals_are_those_of_differences_in_a_loop_over_copied_images() -> None:
    images, labels, patients = halves(40)
    config = RobustnessConfig(images_at_most=40, resamples=100, seed=5)
    found = measure_robustness(by_brightness, images, labels, patients, config=config, names=["brightness"])
    before = by_brightness(images).argmax(axis=1) == labels
    after = by_brightness(corrupt(images, "brightness", 2, seed=5)).argmax(axis=1) == labels
    rng, names = np.random.default_rng(5), np.unique(patients)
    differences = []
    for counts in rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=100):
        copies = np.repeat(np.arange(40), counts[patients])
        differences.append(after[copies].mean() - before[copies].mean())
    change = found.corruptions["brightness"][1]["accuracy"]
    assert change.difference == pytest.approx(after.mean() - before.mean())
    assert (change.low, change.high) == pytest.approx(tuple(np.percentile(differences, [2.5, 97.5], method="weibull")))
    assert change.low < change.high < 0


def test_a_model_that_stays_sure_of_its_wrong_answers_is_seen_in_its_calibration() -> None:
    found = measure_robustness(by_brightness, *halves(), config=SMALL, names=["brightness"])
    strongest = found.corruptions["brightness"][-1]
    assert strongest["ece"].low > 0.2
    assert strongest["confidence"].value > 0.9


def test_no_more_images_are_run_than_asked_for() -> None:
    seen = []

    def counting(batch: np.ndarray) -> np.ndarray:
        seen.append(len(batch))
        return by_halves(batch)

    config = RobustnessConfig(images_at_most=20, batch_size=8, resamples=100)
    found = measure_robustness(counting, *halves(), config=config, names=["noise"])
    assert found.n == 20
    assert sum(seen) == 20 * 6
    assert max(seen) == 8


def test_every_corruption_is_run_by_default_and_progress_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        found = measure_robustness(by_halves, *halves(20), config=RobustnessConfig(images_at_most=10, resamples=100))
    assert list(found.corruptions) == list(CORRUPTIONS)
    assert {len(strengths) for strengths in found.corruptions.values()} == {5}
    assert "running corrupted images: 51 of 51" in caplog.text


def test_one_patient_gives_no_interval() -> None:
    images, labels, _ = halves(10)
    found = measure_robustness(by_brightness, images, labels, np.zeros(10), config=SMALL, names=["brightness"])
    assert math.isnan(found.corruptions["brightness"][-1]["accuracy"].low)


def test_json_says_null_where_nothing_is_known() -> None:
    document = measure_robustness(by_halves, *halves(20), config=SMALL, names=["blur"]).to_json()
    assert "NaN" not in json.dumps(document)
    assert document["corruptions"]["blur"][0]["accuracy"]["low"] is None
    assert document["mean_loss"] == {"blur": 0}


def test_what_does_not_fit_is_refused() -> None:
    images, labels, patients = halves(10)
    with pytest.raises(InputError, match="9 labels"):
        measure_robustness(by_halves, images, labels[:9], patients, config=SMALL)
    with pytest.raises(InputError, match="no corruption 'snow'"):
        measure_robustness(by_halves, images, labels, patients, config=SMALL, names=["snow"])
    with pytest.raises(InputError, match="softmax"):
        measure_robustness(lambda batch: 5 * by_halves(batch), images, labels, patients, config=SMALL)
    with pytest.raises(InputError, match="resamples must be at least 100"):
        RobustnessConfig(resamples=10)


def test_a_corruption_costs_from_the_strength_on_from_which_the_loss_is_more_than_chance() -> None:
    found = measure_robustness(by_brightness, *halves(), config=SMALL, names=["brightness", "blur"])
    strength = found.costs_from("brightness")
    assert strength is not None
    losses = [figures["accuracy"] for figures in found.corruptions["brightness"]]
    assert all(loss.high < 0 for loss in losses[strength - 1 :])
    assert strength == 1 or not losses[strength - 2].high < 0
    assert found.costs_from("blur") is None


def test_a_loss_that_every_patient_shares_is_a_cost_and_one_patient_alone_shows_none() -> None:
    """All draws agree then, so that there is no interval."""

    def flips(batch: np.ndarray) -> np.ndarray:
        odd = np.abs(batch.mean(axis=(1, 2, 3)) - 122) > 3
        return np.where(odd[:, None], by_halves(batch)[:, ::-1], by_halves(batch))

    images, labels, patients = halves()
    found = measure_robustness(flips, images, labels, patients, config=SMALL, names=["brightness"])
    strongest = found.corruptions["brightness"][-1]["accuracy"]
    assert (strongest.difference, math.isnan(strongest.high)) == (-1, True)
    assert found.costs_from("brightness") is not None
    alone = measure_robustness(flips, images, labels, np.zeros_like(patients), config=SMALL, names=["brightness"])
    assert alone.costs_from("brightness") is None
