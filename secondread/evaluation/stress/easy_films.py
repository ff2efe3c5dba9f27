"""Films that any model must get right: phantoms that are typical of their class, or a folder that somebody chose."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from secondread.atomic import sha256_bytes
from secondread.data.pixels.preprocess import Preprocessing, preprocess
from secondread.data.sources.folder import FolderSource
from secondread.data.sources.phantom.latents import MEANS, MODALITY_OF
from secondread.data.sources.phantom.plan import single_case
from secondread.data.sources.phantom.source import draw_png
from secondread.errors import InputError
from secondread.evaluation.metrics.arrays import IntArray
from secondread.taxonomy import Taxonomy

_PHANTOM_SIDE = 128  # pixels; as phantom sources draw them, or larger where the model's images are


@dataclass(frozen=True)
class EasyFilms:
    """Some films.

    Attributes:
        images: uint8 (images, 1, size, size).
        labels: int (images,), positions in the model's taxonomy.
        image_ids: (images,) of str.
    """

    images: npt.NDArray[np.uint8]
    labels: IntArray
    image_ids: npt.NDArray[Any]


def typical_phantoms(taxonomy: Taxonomy, preprocessing: Preprocessing, *, images: int) -> EasyFilms:
    """Draw phantoms with the mean amounts of their class, which lie where no other class does.

    Args:
        taxonomy: the model's; classes that the phantom does not have are left out.
        preprocessing: the model's.
        images: how many, shared by the classes.
    """
    classes = [name for name in taxonomy.names if name in MODALITY_OF]
    drawn, labels, names = [], [], []
    side = min(1024, max(_PHANTOM_SIDE, preprocessing.size))
    for seed in range(max(1, images // max(1, len(classes)))):
        for name in classes:
            case = replace(single_case(name, seed=seed), amounts=MEANS[MODALITY_OF[name]][name])
            drawn.append(preprocess(draw_png(case, size=side), preprocessing))
            labels.append(taxonomy.index(name))
            names.append(f"phantom {name} {seed}")
    return _films(drawn, labels, names, preprocessing)


def in_class_folders(root: Path, taxonomy: Taxonomy, preprocessing: Preprocessing) -> EasyFilms:
    """Read a folder of class folders.

    Args:
        root: `<root>/<class>/<image>`, JPEG, PNG or DICOM.
        taxonomy: the model's.
        preprocessing: the model's.
    Raises:
        InputError: there is no such folder, no image in it, or a class that the model does not have.
        ImageError: an image cannot be read.
    """
    if not root.is_dir():
        raise InputError(f"{root} is no folder. Name one with a folder of easy films for each class.")
    read, labels, names = [], [], []
    for image in FolderSource(root).images():
        if image.label not in taxonomy.names:
            known = ", ".join(taxonomy.names)
            raise InputError(f"{root} has films of '{image.label}', which is no class of the model ({known}).")
        data = image.read()
        read.append(preprocess(data, preprocessing))
        labels.append(taxonomy.index(image.label))
        names.append(sha256_bytes(data))  # not the file's name, which may be a patient's
    return _films(read, labels, names, preprocessing)


def _films(
    images: list[npt.NDArray[np.uint8]], labels: list[int], names: list[str], preprocessing: Preprocessing
) -> EasyFilms:
    size = preprocessing.size
    return EasyFilms(
        images=np.array(images, np.uint8).reshape(-1, 1, size, size),
        labels=np.array(labels, np.int64),
        image_ids=np.array(names, dtype=object),
    )
