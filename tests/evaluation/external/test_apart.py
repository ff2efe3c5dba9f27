"""Of images whose class the model lacks it is told what it calls them, how sure it is, and how many it turns away."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from secondread.evaluation.external.apart import measure_apart
from secondread.evaluation.labelled_images import LabelledImages
from secondread.model.session import Outputs

CLASSES = ("cxr-covid", "cxr-normal")


@pytest.fixture
def strange(pictures: Callable[..., LabelledImages]) -> LabelledImages:
    """Thirty images of `hernia` and ten of `fracture`, two of each patient."""
    labels = np.repeat([1, 0], [30, 10])
    return replace(pictures(40), classes=("fracture", "hernia"), labels=labels)


def outputs(sure: np.ndarray, score: np.ndarray) -> Outputs:
    probabilities = np.stack([sure, 1 - sure], axis=1).astype(np.float32)
    return Outputs(probabilities, np.zeros((len(sure), 2), np.float32), score.astype(np.float32))


def measure(data: LabelledImages, said: Outputs, **settings: int):
    reasons = {"hernia": "the model has no such class", "fracture": "left out as asked"}
    return measure_apart(data, reasons, said, classes=CLASSES, threshold=1.0, **settings)


def test_each_class_is_counted_by_hand(strange: LabelledImages) -> None:
    sure = np.where(np.arange(40) % 3 == 0, 0.9, 0.3)
    score = np.where(np.arange(40) < 6, 2.0, 1.0)  # the threshold itself is not beyond it
    hernia, fracture = measure(strange, outputs(sure, score))
    assert (hernia.name, hernia.n, hernia.groups, hernia.reason) == ("hernia", 30, 15, "the model has no such class")
    assert (fracture.name, fracture.n, fracture.groups, fracture.reason) == ("fracture", 10, 5, "left out as asked")
    assert hernia.called == {"cxr-normal": 20, "cxr-covid": 10}
    assert list(hernia.called) == ["cxr-normal", "cxr-covid"], "most first"
    assert hernia.confidence.value == pytest.approx((10 * 0.9 + 20 * 0.7) / 30)
    assert hernia.flagged.value == pytest.approx(6 / 30)
    assert hernia.flagged.low < 0.2 < hernia.flagged.high


def test_none_turned_away_has_the_exact_interval_of_as_many_patients(strange: LabelledImages) -> None:
    _, fracture = measure(strange, outputs(np.full(40, 0.8), np.zeros(40)))
    assert (fracture.flagged.value, fracture.flagged.low) == (0, 0)
    assert fracture.flagged.high == pytest.approx(1 - 0.025 ** (1 / 5)), "Clopper and Pearson, five patients"
    assert np.isnan(fracture.confidence.low), "images that all agree do not bound a mean"


def test_patients_are_drawn_and_not_images(strange: LabelledImages) -> None:
    """Where both images of a patient are alike, there is half as much to learn from."""
    score = np.where(np.arange(40) // 2 % 2 == 0, 2.0, 0.0)
    said = outputs(np.full(40, 0.8), score)
    by_patient = measure(strange, said)[0].flagged
    by_image = measure(replace(strange, groups=strange.image_ids), said)[0].flagged
    assert by_patient.value == by_image.value
    wider = (by_patient.high - by_patient.low) / (by_image.high - by_image.low)
    assert wider == pytest.approx(np.sqrt(2), rel=0.15)
