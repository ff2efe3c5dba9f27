"""The drift reference: few images of val that stand for all of them."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from secondread.errors import IntegrityError
from secondread.export.repository.drift_reference import drift_reference
from secondread.model.folder import REFERENCE_FILE, ModelFolder

NAMES = ("cxr-normal", "cxr-covid", "cxr-opacity")
IMAGES = 2_000


def val(seed: int = 0, patients: int = 700) -> pd.DataFrame:
    """Answers on val as `train` writes them; the first number of an embedding is the row."""
    rng = np.random.default_rng(seed)
    embedding = rng.normal(size=(IMAGES, 4)).astype(np.float32)
    embedding[:, 0] = np.arange(IMAGES)
    return pd.DataFrame(
        {
            "patient": rng.integers(patients, size=IMAGES).astype(np.int32),
            "predicted": pd.array(rng.choice(NAMES, IMAGES, p=[0.7, 0.28, 0.02]), dtype="string"),
            "confidence": rng.random(IMAGES, np.float32),
            "embedding": list(embedding),
        }
    )


@pytest.fixture
def holding(tiny_model: ModelFolder, tmp_path: Path) -> Callable[[pd.DataFrame], ModelFolder]:
    def make(frame: pd.DataFrame) -> ModelFolder:
        folder = tmp_path / "model"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(tiny_model.root, folder)
        frame.to_parquet(folder / REFERENCE_FILE, index=False)
        return ModelFolder.open(folder)

    return make


Holding = Callable[[pd.DataFrame], ModelFolder]


def test_of_many_images_500_are_taken_and_each_is_what_it_was(holding: Holding) -> None:
    frame = val()
    found = drift_reference(holding(frame))
    assert found is not None
    assert len(found) == 500
    rows = found.embedding[:, 0].astype(int)
    assert len(set(rows)) == 500
    taken = frame.iloc[rows]
    assert [NAMES[index] for index in found.predicted] == taken["predicted"].tolist()
    np.testing.assert_array_equal(found.confidence, taken["confidence"])
    np.testing.assert_array_equal(found.group, taken["patient"])
    np.testing.assert_array_equal(found.embedding, np.stack(taken["embedding"].tolist()))


def test_the_shares_of_the_predicted_classes_are_those_of_val(holding: Holding) -> None:
    frame = val()
    found = drift_reference(holding(frame))
    assert found is not None
    counts = np.bincount(found.predicted, minlength=3)
    expected = frame["predicted"].value_counts().reindex(NAMES).to_numpy() / IMAGES * 500
    np.testing.assert_allclose(counts, expected, atol=1)


def test_no_patient_comes_twice_in_a_class_while_another_has_not_come(holding: Holding) -> None:
    frame = val(patients=700)
    found = drift_reference(holding(frame))
    assert found is not None
    for index, name in enumerate(NAMES):
        groups = found.group[found.predicted == index]
        there = frame.loc[frame["predicted"] == name, "patient"].nunique()
        assert len(set(groups)) == min(len(groups), there), name


def test_the_same_images_are_taken_each_time(holding: Holding) -> None:
    first, second = (drift_reference(holding(val())) for _ in range(2))
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first.embedding, second.embedding)


def test_of_few_images_all_are_taken(holding: Holding) -> None:
    found = drift_reference(holding(val().head(60)))
    assert found is not None
    np.testing.assert_array_equal(found.embedding[:, 0], np.arange(60))


def test_of_a_model_that_knows_no_patients_each_image_counts_as_one(
    holding: Holding, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        found = drift_reference(holding(val().drop(columns="patient")))
    assert found is not None
    assert len(set(found.group)) == 500
    assert "does not say which images are of one patient" in caplog.text


@pytest.mark.parametrize("damage", ["no table", "no column", "another class", "no image"])
def test_what_train_did_not_write_is_refused_by_name(holding: Holding, damage: str) -> None:
    frame = val().head(0 if damage == "no image" else 60)
    model = holding(frame.drop(columns="embedding") if damage == "no column" else frame)
    if damage == "no table":
        (model.root / REFERENCE_FILE).write_bytes(b"PAR1 and nothing more")
    if damage == "another class":
        model = holding(frame.assign(predicted="oct-cnv"))
    with pytest.raises(IntegrityError, match=r"reference\.parquet is not what train writes .*no drift is told"):
        drift_reference(model)


def test_a_model_without_val_has_none(tiny_model: ModelFolder) -> None:
    assert drift_reference(tiny_model) is None
