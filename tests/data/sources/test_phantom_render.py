from __future__ import annotations

import numpy as np
import pytest

from secondread.data.sources.phantom.latents import MODALITY_OF
from secondread.data.sources.phantom.plan import plan
from secondread.data.sources.phantom.render import phantom_image, phantom_mask, render
from secondread.data.sources.phantom.spec import parse_uri
from secondread.errors import InputError

ILL = [name for name in MODALITY_OF if not name.endswith("normal")]
SEEDS = range(12)


def _change(name: str, seed: int) -> np.ndarray:
    """Grey levels that the finding adds, with the same anatomy, exposure and noise."""
    ill = phantom_image(name, size=96, seed=seed).astype(float)
    return np.asarray(ill - phantom_image(name, size=96, seed=seed, with_finding=False))


@pytest.mark.parametrize("name", ILL)
def test_a_finding_is_seen_where_its_mask_is_and_nowhere_else(name: str) -> None:
    for seed in SEEDS:
        change, mask = np.abs(_change(name, seed)), phantom_mask(name, size=96, seed=seed)
        assert mask.dtype == bool
        assert 0.02 < mask.mean() < 0.5
        assert change[mask].mean() > 15
        assert change[~mask].mean() < 3


@pytest.mark.parametrize("name", [name for name in ILL if name.startswith("cxr")])
def test_lung_findings_are_brighter_than_the_healthy_lung(name: str) -> None:
    for seed in SEEDS:
        assert _change(name, seed)[phantom_mask(name, size=96, seed=seed)].mean() > 15


def test_cysts_are_darker_than_the_healthy_retina() -> None:
    for seed in SEEDS:
        healthy = phantom_image("oct-dme", size=96, seed=seed, with_finding=False)
        darker = (_change("oct-dme", seed) < -15) & (healthy > 50) & phantom_mask("oct-dme", size=96, seed=seed)
        assert darker.mean() > 0.01


@pytest.mark.parametrize("modality", ["cxr", "oct"])
def test_normal_images_have_traces_only(modality: str) -> None:
    def covered(name: str) -> float:
        return float(np.mean([np.abs(_change(name, seed)).mean() for seed in SEEDS]))

    ill = [covered(name) for name in ILL if name.startswith(modality)]
    assert covered(f"{modality}-normal") < 0.6 * min(ill)


@pytest.mark.parametrize("modality", ["cxr", "oct"])
def test_images_of_a_patient_are_more_alike_than_those_of_two(modality: str) -> None:
    """Findings left out: what is alike is the anatomy, and what differs is shift, exposure and noise."""
    cases = list(plan(parse_uri(f"phantom://{modality}?images=150")))
    small = [render(case, size=64, with_finding=False).reshape(32, 2, 32, 2).mean((1, 3)).ravel() for case in cases]
    pixels = np.array(small) - np.mean(small, axis=1, keepdims=True)
    patients = np.array([case.patient for case in cases])
    distance = np.abs(pixels[:, None] - pixels[None]).mean(axis=2)
    same = patients[:, None] == patients[None]
    other = same & ~np.eye(len(cases), dtype=bool)
    assert distance[other].min() > 0.5  # no two images are the same
    assert distance[other].mean() < 0.9 * distance[~same].mean()
    np.fill_diagonal(distance, np.inf)
    nearest = patients[distance.argmin(axis=1)] == patients
    chance = other.sum(axis=1).mean() / len(cases)
    assert nearest.mean() > 8 * chance


def test_modalities_cannot_be_confused() -> None:
    """Below the diaphragm a chest is bright, below the choroid a scan is dark: one threshold parts them all."""
    cases = plan(parse_uri("phantom://demo?images=300&size=64"))
    bottom = {"cxr": [], "oct": []}
    for case in cases:
        bottom[case.modality].append(float(render(case, size=64)[-12:].mean()))
    assert min(bottom["cxr"]) > max(bottom["oct"]) + 30


def test_a_picture_keeps_its_patient_at_another_size() -> None:
    for name in ("cxr-covid", "oct-cnv"):
        large = phantom_image(name, size=192, seed=3).reshape(64, 3, 64, 3).mean((1, 3))
        small = phantom_image(name, size=64, seed=3)
        assert np.corrcoef(large.ravel(), small.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("size", [32, 45, 128, 301])
def test_any_size_is_drawn_as_grey_bytes(size: int) -> None:
    for name in ("cxr-tuberculosis", "oct-dme"):
        picture = phantom_image(name, size=size)
        assert picture.dtype == np.uint8
        assert picture.shape == (size, size)
        assert picture.std() > 20


def test_a_class_that_is_not_drawn_is_refused() -> None:
    with pytest.raises(InputError, match="no class 'cxr-fracture': use one of cxr-covid"):
        phantom_image("cxr-fracture")
