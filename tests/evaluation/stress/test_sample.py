"""Some of many images: the classes keep their shares, and nobody is asked twice."""

import numpy as np
import pytest

from secondread.evaluation.stress.sample import stratified

LABELS = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [700, 250, 50]))


def test_classes_keep_their_shares() -> None:
    chosen = stratified(LABELS, at_most=100, seed=0)
    assert np.bincount(LABELS[chosen]) == pytest.approx([70, 25, 5], abs=1)
    assert len(chosen) == 100
    assert (np.diff(chosen) > 0).all()


def test_a_rare_class_keeps_an_image() -> None:
    labels = np.r_[np.zeros(999, int), 1]
    assert 999 in stratified(labels, at_most=10, seed=0)


def test_few_images_are_all_taken() -> None:
    assert list(stratified(LABELS, at_most=1000, seed=0)) == list(range(1000))


def test_the_seed_decides() -> None:
    one, same, other = (list(stratified(LABELS, at_most=50, seed=seed)) for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_of_a_patient_one_image_is_taken() -> None:
    patients = np.arange(1000) // 4
    chosen = stratified(LABELS, at_most=1000, seed=0, patients=patients)
    assert sorted(patients[chosen]) == list(range(250))
    assert len(stratified(LABELS, at_most=40, seed=0, patients=patients)) == 40
