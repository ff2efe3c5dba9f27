"""Images from outside, made ready for a model with the model's own preprocessing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from secondread.atomic import sha256_bytes
from secondread.cpus import cpu_limit
from secondread.data.intake import with_header_ids
from secondread.data.manifest import typed
from secondread.data.pixels.preprocess import Preprocessing, preprocess
from secondread.data.sources.source import Source, SourceImage
from secondread.errors import ImageError, InputError, TooLargeError
from secondread.evaluation.labelled_images import LabelledImages
from secondread.evaluation.subgroups.gaps import factors_of
from secondread.logging import get_logger
from secondread.progress import track

log = get_logger(__name__)

_Read = tuple[SourceImage, str, npt.NDArray[np.uint8]]
_PLAIN = (b"\xff\xd8", b"\x89PNG")  # first bytes of JPEG and PNG, which know of no patient


def read_source(source: Source, spec: Preprocessing) -> LabelledImages:
    """Read every image of a source. What cannot be read is left out and said.

    Args:
        source: labelled images.
        spec: the model's preprocessing.
    Raises:
        InputError: no image of the source can be read.
    """
    images = list(source.images())
    with ThreadPoolExecutor(cpu_limit()) as pool:
        results = pool.map(lambda image: _read(image, spec), images)
        read = [item for item in track(results, "reading images", total=len(images)) if item is not None]
    if not read:
        raise InputError(f"{source.uri}: none of its {len(images)} images can be read. Mend the source.")
    classes = source.taxonomy().names
    return LabelledImages(
        images=np.stack([pixels for _, _, pixels in read])[:, None],
        labels=np.array([classes.index(image.label) for image, _, _ in read], np.int64),
        image_ids=np.array([image_id for _, image_id, _ in read], dtype=object),
        groups=np.array([image.patient_id or image_id for image, image_id, _ in read], dtype=object),
        classes=classes,
        preprocessing=spec,
        name=source.uri,
        split="all",
        synthetic=source.synthetic,
        factors=factors_of(typed(pd.DataFrame([_facts(image) for image, _, _ in read]))),
    )


def _facts(image: SourceImage) -> dict[str, Any]:
    """What a manifest would hold of whom the image is of."""
    return {
        "sex": image.sex,
        "age": float("nan") if image.age is None else image.age,
        "view": image.view,
        "source": image.source,
        "modality": image.modality,
    }


def _read(image: SourceImage, spec: Preprocessing) -> _Read | None:
    try:
        if image.unfit:
            raise ImageError(image.unfit)
        data = image.read()
        pixels = preprocess(data, spec)
        named = image if data.startswith(_PLAIN) else with_header_ids(image, data)
        return named, sha256_bytes(data), pixels
    except (ImageError, TooLargeError, OSError) as error:
        log.warning("left out %s: %s", image.name, error)
        return None
