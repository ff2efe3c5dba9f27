"""What a model says of some studies, as it is held beside what a first reader says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class ModelReadings:
    """What a model says of some studies, one image each, in the order that they were read.

    Attributes:
        model, version, digest: which model.
        classes: its classes.
        image_ids: SHA-256 of each film's bytes, hex; empty where they could not be read.
        paths: inside what was read.
        labels: the class that it gives; empty where it has no answer.
        confidence: float32 (studies,), the largest probability; NaN likewise.
        out_of_distribution: bool (studies,), it is none of the model's field.
    """

    model: str
    version: str
    digest: str
    classes: tuple[str, ...]
    image_ids: tuple[str, ...]
    paths: tuple[str, ...]
    labels: tuple[str, ...]
    confidence: npt.NDArray[np.float32]
    out_of_distribution: npt.NDArray[np.bool_]
