"""The score's parts are scikit-learn's, its scale is val's, and images of another field or turned ones stand out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.decomposition import PCA

from secondread.config.train import TrainConfig
from secondread.data.versions.dataset import DatasetVersion
from secondread.model.folder import WEIGHTS_FILE
from secondread.model.out_of_distribution import Strangeness
from secondread.model.vit import ViT, ViTConfig
from secondread.training.out_of_distribution import fit_strangeness
from secondread.training.train import train


@pytest.fixture(scope="module")
def model(dataset: DatasetVersion, quick: Callable[..., TrainConfig], tmp_path_factory: pytest.TempPathFactory) -> ViT:
    folder = train(dataset, tmp_path_factory.mktemp("train") / "model", quick(epochs=2)).model
    network = ViT(ViTConfig.from_dict(folder.config.architecture))
    network.load_state_dict(load_file(folder.root / WEIGHTS_FILE))
    return network.eval()


@pytest.fixture(scope="module")
def fitted(model: ViT, dataset: DatasetVersion) -> Strangeness:
    return fit_strangeness(model, dataset.split("train"), dataset.split("val"), seed=0)


def described(model: ViT, images: np.ndarray) -> torch.Tensor:
    with torch.inference_mode():
        return model.describe(torch.from_numpy(np.array(images)).float() / 255)[1]


def test_the_residual_is_what_a_principal_component_analysis_leaves_unexplained(
    model: ViT, fitted: Strangeness, dataset: DatasetVersion
) -> None:
    train, test = (described(model, dataset.split(name).images).numpy() for name in ("train", "test"))
    mean, spread = train.mean(axis=0), fitted.spread.numpy()
    analysis = PCA(n_components=fitted.directions.shape[1], svd_solver="full").fit((train - mean) / spread)
    standard = (test - mean) / spread
    left = standard - analysis.inverse_transform(analysis.transform(standard))
    ours = fitted.answers(torch.from_numpy(test))[:, 0].numpy()
    np.testing.assert_allclose(ours, np.sqrt((left**2).mean(axis=1)), rtol=1e-2)


def test_half_of_val_is_below_zero_and_nearly_all_of_it_below_one(
    model: ViT, fitted: Strangeness, dataset: DatasetVersion
) -> None:
    answers = fitted.answers(described(model, dataset.split("val").images))
    scaled = ((answers - fitted.usual) / (fitted.strange - fitted.usual)).numpy()
    assert (scaled < 1e-6).mean(axis=0) == pytest.approx([0.5, 0.5], abs=0.05)
    assert (scaled > 1.0001).mean(axis=0) == pytest.approx([0.025, 0.025], abs=0.05)


@pytest.mark.parametrize("kind", ["noise", "blank", "stripes"])
def test_images_of_another_field_score_above_all_own_ones(
    model: ViT, fitted: Strangeness, dataset: DatasetVersion, kind: str
) -> None:
    strange = np.zeros((4, 1, 32, 32), np.uint8)
    if kind == "noise":
        strange = np.random.default_rng(0).integers(0, 256, strange.shape, dtype=np.uint8)
    if kind == "stripes":
        strange[:, :, ::2, ::2] = 255
    own = fitted(described(model, dataset.split("test").images))
    assert fitted(described(model, strange)).min() > own.max()


def test_the_same_images_give_the_same_score_again(model: ViT, fitted: Strangeness, dataset: DatasetVersion) -> None:
    again = fit_strangeness(model, dataset.split("train"), dataset.split("val"), seed=0)
    for name, value in fitted.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
