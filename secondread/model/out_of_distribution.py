"""How unlike its training images an image is, asked of what the classifier's stem makes of it.

The classifier's embedding keeps what tells the classes apart and little else, so that another organ, a photograph or
noise lies among its classes. The stem still has texture and layout. Two questions are asked of `ViT.describe`:

- how much of the description the training images' main axes leave unexplained (the residual of a principal component
  analysis; Jackson & Mudholkar 1979, "Control Procedures for Residuals Associated With Principal Component Analysis");
- whether it looks like a training image that was turned or inverted, which a residual alone does not see: such an
  image has the same texture. A linear probe has been shown both (Hendrycks et al. 2019, "Deep Anomaly Detection with
  Outlier Exposure").
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

_REGIONS = 3  # along a side, over which `description` averages: top and bottom differ, single pixels do not

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Axes:
    """What training images look like.

    Attributes:
        mean: float32 (features,), of their descriptions.
        spread: float32 (features,), above 0: standard deviations.
        directions: float32 (features, axes), orthonormal: along which they differ most, once divided by `spread`.
    """

    mean: FloatArray
    spread: FloatArray
    directions: FloatArray


@dataclass(frozen=True)
class Probe:
    """Turned or not: `described @ weights + bias`, above 0 where it more likely was.

    Attributes:
        weights: float32 (features,), of the description less `Axes.mean`, over `Axes.spread`.
        bias: a log-odds.
    """

    weights: FloatArray
    bias: float


@dataclass(frozen=True)
class Scale:
    """What each question's answer is for images that the model was made for: residual first, then the probe.

    Attributes:
        usual: float32 (2,), which becomes a score of 0.
        strange: float32 (2,), above `usual`, which becomes a score of 1.
    """

    usual: FloatArray
    strange: FloatArray


class Strangeness(nn.Module):
    """The score of a batch of descriptions.

    Args:
        axes: of the training images.
        probe: for turned images.
        scale: that makes the two answers comparable.
    """

    def __init__(self, axes: Axes, probe: Probe, scale: Scale) -> None:
        super().__init__()
        numbers = {
            "mean": axes.mean,
            "spread": axes.spread,
            "directions": axes.directions,
            "weights": probe.weights,
            "bias": np.float32(probe.bias),
            "usual": scale.usual,
            "strange": scale.strange,
        }
        for name, value in numbers.items():
            self.register_buffer(name, torch.from_numpy(np.array(value, dtype=np.float32)))
        self.mean: Tensor
        self.spread: Tensor
        self.directions: Tensor
        self.weights: Tensor
        self.bias: Tensor
        self.usual: Tensor
        self.strange: Tensor

    def forward(self, description: Tensor) -> Tensor:
        """The stranger of the two answers, each on its scale.

        Args:
            description: float (batch, features), of `ViT.describe`.
        Returns:
            float32 (batch,), unbounded: 0 is usual, above 1 is strange.
        """
        answers = (self.answers(description) - self.usual) / (self.strange - self.usual)
        return answers.amax(dim=1)

    def answers(self, description: Tensor) -> Tensor:
        """Both answers as they are, float32 (batch, 2): root mean square of the residual, and log-odds of the probe."""
        standard = (description - self.mean) / self.spread
        left = standard - (standard @ self.directions) @ self.directions.T
        residual = (left * left).mean(dim=1).sqrt()
        return torch.stack([residual, standard @ self.weights + self.bias], dim=1)


def description(maps: list[Tensor]) -> Tensor:
    """What images look like, which what is classified no longer tells.

    Args:
        maps: of the classifier's stem, float (batch, channels, side, side) each, from 0, as `Stem.maps` gives them.
    Returns:
        float (batch, features) from 0: at each scale of the stem, its channels averaged over 3x3 regions.
    """
    # of each scale the last: below, one is left out where the next is as large
    scales = [one for one, following in pairwise(maps) if following.shape[-1] < one.shape[-1]] + maps[-1:]
    return torch.cat([_by_region(scale) for scale in scales], dim=1)


def _by_region(scale: Tensor) -> Tensor:
    """float (batch, channels, side, side) to its means over 3x3 regions, which may overlap, float (batch, features)."""
    side = scale.shape[-1]
    regions = min(_REGIONS, side)
    step = side // regions
    return functional.avg_pool2d(scale, kernel_size=side - (regions - 1) * step, stride=step).flatten(1)
