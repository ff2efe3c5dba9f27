"""How far an image lies from everything the model was trained on, measured among the embeddings.

Source: Lee et al. 2018, "A Simple Unified Framework for Detecting Out-of-Distribution Samples": the Mahalanobis
distance to the nearest class mean, under one covariance that all classes share. The covariance is shrunk (Ledoit &
Wolf 2004), since a few hundred embeddings do not fill their space. The root of the mean square over the dimensions is
taken, so that a score is about 1 for a training image, whatever the embedding's width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.covariance import LedoitWolf


@dataclass(frozen=True)
class OutOfDistribution:
    """A fitted score.

    Attributes:
        whitening: float32 (dim, dim); `embedding @ whitening` has unit covariance around its class mean.
        centres: float32 (classes, dim), whitened class means.
    """

    whitening: npt.NDArray[np.float32]
    centres: npt.NDArray[np.float32]

    def score(self, embeddings: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """Distance to the nearest class mean, per dimension.

        Args:
            embeddings: float (images, dim).
        Returns:
            float64 (images,), from 0.
        """
        whitened = embeddings.astype(np.float64) @ self.whitening.astype(np.float64)
        squares = ((whitened[:, None] - self.centres[None].astype(np.float64)) ** 2).mean(axis=2)
        return np.asarray(np.sqrt(squares.min(axis=1)))


def fit_out_of_distribution(
    embeddings: npt.NDArray[np.floating], labels: npt.NDArray[np.integer], *, classes: int
) -> OutOfDistribution:
    """Fit class means and the shared covariance.

    Args:
        embeddings: float (images, dim), of training images.
        labels: int (images,), each of the `classes` at least once.
        classes: number of classes.
    """
    wide = embeddings.astype(np.float64)
    means = np.stack([wide[labels == index].mean(axis=0) for index in range(classes)])
    covariance = LedoitWolf(assume_centered=True).fit(wide - means[labels]).covariance_
    # symmetric inverse root; the floor keeps a direction without any spread from counting infinitely
    values, vectors = np.linalg.eigh(covariance)
    floor = max(values.max() * 1e-4, np.finfo(np.float64).tiny)
    whitening = (vectors / np.sqrt(np.maximum(values, floor))) @ vectors.T
    return OutOfDistribution(whitening.astype(np.float32), (means @ whitening).astype(np.float32))


def threshold(scores: npt.NDArray[np.floating], *, share: float) -> float:
    """The score above which `share` of these images lie.

    Args:
        scores: float (images,), of val: training images lie closer than any new image does.
        share: in [0, 1], of images that may be turned away.
    """
    return float(np.quantile(scores, 1 - share))
