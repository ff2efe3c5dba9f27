"""Pictures without labels, made ready as a dataset version's images are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import numpy.typing as npt

from secondread.cpus import cpu_limit
from secondread.data.pixels.preprocess import Preprocessing, preprocess
from secondread.data.sources.unlabelled import open_images
from secondread.errors import ImageError, InputError, TooLargeError
from secondread.logging import get_logger
from secondread.progress import track

log = get_logger(__name__)

Pixels = npt.NDArray[np.uint8]


def read_unlabelled(places: Sequence[str], spec: Preprocessing) -> Pixels:
    """Read all images of some places.

    Args:
        places: as `open_images` takes them: folders, lists, archives, or URIs of any source.
        spec: of the dataset version that they are to be like.
    Returns:
        uint8 (images, 1, size, size); what cannot be read is left out and counted.
    Raises:
        InputError: a place has no image that can be read.
    """
    parts = [np.empty((0, 1, spec.size, spec.size), np.uint8)]
    for place in places:
        opened = open_images(place)
        images = opened.images
        with ThreadPoolExecutor(cpu_limit()) as pool:
            read = pool.map(partial(_pixels, spec=spec), [image.read for image in images])
            kept = [item for item in track(read, f"reading {place}", total=len(images)) if item is not None]
        if not kept:
            raise InputError(f"{place}: none of its {len(images)} images can be read. Name another place.")
        if len(kept) < len(images):
            log.warning(
                "%s: left out %s of %s images, which cannot be read", place, len(images) - len(kept), len(images)
            )
        parts.append(np.stack(kept)[:, None])
    return np.concatenate(parts)


def _pixels(read: Callable[[], bytes], spec: Preprocessing) -> Pixels | None:
    try:
        return preprocess(read(), spec)
    except (ImageError, TooLargeError, OSError):
        return None
