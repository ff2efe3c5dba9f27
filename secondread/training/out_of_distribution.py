"""Fit the score that tells images of another field from those that a model was trained for.

What it is made of is said in `secondread.model.out_of_distribution`. The axes and the probe are fitted on training
images; the scale of each is set on val, since training images are nearer than any new image will be.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from secondread.data.versions.dataset import SplitData
from secondread.model.out_of_distribution import Axes, Probe, Scale, Strangeness
from secondread.model.vit import ViT

# Images of a split that are looked at: with more of them the axes do not change much, and the probe takes longer.
_IMAGES = {"axes": 2_000, "probe": 600, "scale": 1_000}
_MOST_AXES = 64  # a matrix of 3,240 x 64 is 0.8 MB of the served file
_EXPLAINED = 0.95  # share of the variance that axes are taken for, while there are fewer than the most
_SPREAD_FLOOR = 1e-3  # of the mean spread: a channel that training images leave dark must not count infinitely
_PROBE_C = 1e-3  # inverse strength of the L2 penalty: there are more features than images
_STRANGE = 0.975  # quantile of val that is called strange, for each of the two answers
_BATCH_SIZE = 128  # images

# float (batch, 1, size, size) in [0, 1] to the same: what a film may suffer on its way to the model
_TURNS: tuple[Callable[[Tensor], Tensor], ...] = (
    lambda images: images.flip(2),  # upside down
    lambda images: images.rot90(1, (2, 3)),
    lambda images: images.rot90(2, (2, 3)),
    lambda images: images.rot90(3, (2, 3)),
    lambda images: 1 - images,  # black for white
)


def fit_strangeness(model: ViT, train: SplitData, val: SplitData, *, seed: int) -> Strangeness:
    """Learn what the images of a dataset version look like to a model's stem.

    Args:
        model: trained, in evaluation mode.
        train: what it was trained on.
        val: split that sets the scale.
        seed: of the choice of images where there are more than are looked at.
    """
    described = _describe(model, _some(train, _IMAGES["axes"], seed))
    axes = _fit_axes(described)
    upright = _some(train, _IMAGES["probe"], seed)
    probe = _fit_probe(
        _standard(_describe(model, upright), axes),
        _standard(np.concatenate([_describe(model, upright, turn) for turn in _TURNS]), axes),
    )
    unscaled = Strangeness(axes, probe, Scale(np.zeros(2, np.float32), np.ones(2, np.float32)))
    with torch.inference_mode():
        answers = unscaled.answers(torch.from_numpy(_describe(model, _some(val, _IMAGES["scale"], seed)))).numpy()
    return Strangeness(axes, probe, _scale(answers))


def _some(data: SplitData, most: int, seed: int) -> npt.NDArray[np.uint8]:
    """uint8 (images, 1, size, size): all of a split, or a random choice of `most`."""
    count = len(data.labels)
    if count <= most:
        return np.array(data.images)
    chosen = np.sort(np.random.default_rng(seed).choice(count, most, replace=False))
    return np.asarray(data.images[chosen])


def _describe(
    model: ViT, images: npt.NDArray[np.uint8], turn: Callable[[Tensor], Tensor] = lambda images: images
) -> npt.NDArray[np.float32]:
    """What the stem makes of uint8 images (images, 1, size, size), float32 (images, features)."""
    with torch.inference_mode():
        parts = [
            model.describe(turn(torch.from_numpy(images[start : start + _BATCH_SIZE]).float() / 255))[1]
            for start in range(0, len(images), _BATCH_SIZE)
        ]
    return torch.cat(parts).numpy()


def _fit_axes(described: npt.NDArray[np.float32]) -> Axes:
    wide = described.astype(np.float64)
    mean, spread = wide.mean(axis=0), wide.std(axis=0)
    spread = np.maximum(spread, max(_SPREAD_FLOOR * float(spread.mean()), float(np.finfo(np.float32).tiny)))
    _, strengths, directions = np.linalg.svd((wide - mean) / spread, full_matrices=False)
    explained = np.cumsum(strengths**2) / max(float((strengths**2).sum()), np.finfo(np.float64).tiny)
    # a quarter of the images at most: as many axes as images would explain each of them, and no new one
    count = max(1, min(_MOST_AXES, len(described) // 4, int(np.searchsorted(explained, _EXPLAINED)) + 1))
    return Axes(mean.astype(np.float32), spread.astype(np.float32), directions[:count].T.astype(np.float32))


def _standard(described: npt.NDArray[np.float32], axes: Axes) -> npt.NDArray[np.float32]:
    return (described - axes.mean) / axes.spread


def _fit_probe(upright: npt.NDArray[np.float32], turned: npt.NDArray[np.float32]) -> Probe:
    labels = np.repeat([0, 1], [len(upright), len(turned)])
    fitted = LogisticRegression(C=_PROBE_C, class_weight="balanced", max_iter=1_000)
    fitted.fit(np.concatenate([upright, turned]), labels)
    return Probe(fitted.coef_[0].astype(np.float32), float(fitted.intercept_[0]))


def _scale(answers: npt.NDArray[np.float32]) -> Scale:
    usual, strange = np.quantile(answers, [0.5, _STRANGE], axis=0)
    least = 1e-6 + 1e-3 * np.abs(usual)  # of val images that are all alike
    return Scale(usual.astype(np.float32), np.maximum(strange, usual + least).astype(np.float32))
