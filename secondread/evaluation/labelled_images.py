"""What a model is judged on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from secondread.data.pixels.preprocess import Preprocessing
from secondread.data.versions.dataset import DatasetVersion
from secondread.errors import InputError
from secondread.evaluation.subgroups.gaps import factors_of
from secondread.model.folder import ModelFolder


@dataclass(frozen=True)
class LabelledImages:
    """What a model is judged on: a split of a dataset version, or any labelled images made ready the same way.

    Attributes:
        images: uint8 (images, 1, size, size).
        labels: int64 (images,), positions in `classes`.
        image_ids: (images,) of str, content hashes; the only name an image keeps in what is written.
        groups: (images,) of str, the patient (hashed) or else the image; intervals resample these.
        classes: names of the data's classes.
        preprocessing: how the pixels came about.
        name: what the images are called in the report, such as the dataset version.
        split: `val`, `test` or another word for which images they are.
        synthetic: the images are generated.
        version: content hash of the dataset version; empty where the images are of none.
        factors: by what patients are divided, such as sex, to (images,) of str; `subgroups.gaps.factors_of`.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    image_ids: npt.NDArray[Any]
    groups: npt.NDArray[Any]
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    name: str
    split: str
    synthetic: bool = False
    version: str = ""
    factors: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)

    @classmethod
    def from_version(cls, dataset: DatasetVersion, split: str) -> LabelledImages:
        """One split of a dataset version."""
        data = dataset.split(split)
        return cls(
            images=data.images,
            labels=data.labels,
            image_ids=data.rows["image_id"].to_numpy(dtype=object),
            groups=data.rows["group_id"].to_numpy(dtype=object),
            classes=dataset.taxonomy.names,
            preprocessing=dataset.preprocessing,
            name=dataset.name,
            split=split,
            synthetic=dataset.synthetic,
            version=dataset.content_hash,
            factors=factors_of(data.rows),
        )

    def take(self, chosen: npt.NDArray[np.bool_]) -> LabelledImages:
        """Some of the images; these themselves where all are chosen.

        Args:
            chosen: bool (images,).
        """
        if chosen.all():
            return self
        return replace(
            self,
            images=self.images[chosen],
            labels=self.labels[chosen],
            image_ids=self.image_ids[chosen],
            groups=self.groups[chosen],
            factors={name: values[chosen] for name, values in self.factors.items()},
        )


def labels_of_model(model: ModelFolder, data: LabelledImages) -> npt.NDArray[np.int64]:
    """The data's labels as positions in the model's classes.

    Raises:
        InputError: no image, another preprocessing, or a class that the model does not know.
    """
    if not len(data.labels):
        raise InputError(f"{data.name} has no images in '{data.split}': there is nothing to evaluate.")
    if data.preprocessing != model.config.preprocessing:
        raise InputError(
            f"{data.name} was made with {data.preprocessing}, but model '{model.config.name}' takes "
            f"{model.config.preprocessing}. Preprocess the images with the model's settings."
        )
    known = model.config.taxonomy.names
    for position in np.unique(data.labels):
        if data.classes[position] not in known:
            raise InputError(
                f"label '{data.classes[position]}' in {data.name} is not a class of model '{model.config.name}' "
                f"({', '.join(known)}). Leave these images out, or train on a dataset version that has it."
            )
    positions = [known.index(name) if name in known else -1 for name in data.classes]
    return np.asarray(positions, dtype=np.int64)[data.labels]
