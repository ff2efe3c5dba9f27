"""What can happen to a film: ten corruptions, each in five strengths.

After Hendrycks & Dietterich 2019, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations"
(arXiv:1903.12261), with what happens to films instead of weather: a tilted patient, something metallic in the way, text
burnt in by an archive. The seed of an image does not depend on the strength, so that one image's grain, tilt or text
grows from strength to strength.

Lengths are shares of the image's shorter side, so that images of 28 and of 224 pixels look alike, as if the film had
been corrupted before it was made small. Hence an image of 28 pixels, which has lost most detail already, loses little
by a slight blur, and nothing by a resolution of 48. Strength 0 changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage, special

from secondread.errors import InputError

Images = npt.NDArray[np.uint8]
Grey = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

STRENGTHS = (1, 2, 3, 4, 5)

_GRAIN = 1 / 128  # of the side: deviation of the Gaussian that makes grain of single pixels coarser in large images
_JPEG_SIDE = 224  # pixels that a smaller image is enlarged to, since blocks of 8 would be half of it
_TEXT_SIDE = 448  # pixels that text is drawn at, before it is made as small as the image
_LETTERS = "ABCDEFGHIKLMNOPRSTUVWXYZ0123456789"
_LINE = 0.06  # height of a line of text, of the side
_LINE_LETTERS = 9


@dataclass(frozen=True)
class Corruption:
    """One kind of corruption.

    Attributes:
        title: what a person reads.
        levels: how much, for strengths 1 to 5.
        unit: of the levels.
        apply: one image, uint8 (height, width), with a level and the image's own random numbers, to uint8 or float32
            grey values of the same shape.
    """

    title: str
    levels: tuple[float, float, float, float, float]
    unit: str
    apply: Callable[[Grey, float, np.random.Generator], Grey | Floats]


def corrupt(images: Images, name: str, strength: int, *, seed: int = 0) -> Images:
    """Corrupt images.

    Args:
        images: uint8 (images, 1, height, width).
        name: of `CORRUPTIONS`.
        strength: 0 (as they are) to 5.
        seed: the same seed gives the same pixels; an image's own follows from it and from its position.
    Returns:
        uint8 (images, 1, height, width), a copy.
    Raises:
        InputError: no such corruption or strength, or other images.
    """
    if name not in CORRUPTIONS:
        raise InputError(f"there is no corruption '{name}': use one of {', '.join(CORRUPTIONS)}.")
    if strength not in (0, *STRENGTHS):
        raise InputError(f"strength must be a whole number from 0 to {STRENGTHS[-1]}, not {strength!r}.")
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != 1:
        raise InputError(f"corruptions take uint8 (images, 1, height, width), not {images.dtype} {images.shape}.")
    if strength == 0:
        return images.copy()
    corruption, number = CORRUPTIONS[name], list(CORRUPTIONS).index(name)
    level = corruption.levels[strength - 1]
    changed = np.empty_like(images)
    for position, image in enumerate(images[:, 0]):
        rng = np.random.default_rng((seed, number, position))
        changed[position, 0] = _to_bytes(corruption.apply(image, level, rng))
    return changed


def _to_bytes(grey: Grey | Floats) -> Grey:
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)


def _side(image: Grey) -> int:
    return int(min(image.shape))


def _gaussian(image: npt.NDArray[np.floating], sigma: float, *, mode: str) -> Floats:
    """Blur by a deviation in pixels, right below one pixel too, where samples of the Gaussian would blur too little.

    Source: Lindeberg 1990, "Scale-space for discrete signals", doi:10.1109/34.49051, eq. 19.
    """
    reach = int(np.ceil(4 * sigma)) + 1
    kernel = special.ive(np.abs(np.arange(-reach, reach + 1)), sigma**2)
    rows = ndimage.correlate1d(image, kernel / kernel.sum(), axis=0, mode=mode)
    return np.asarray(ndimage.correlate1d(rows, kernel / kernel.sum(), axis=1, mode=mode), dtype=np.float32)


def _noise(image: Grey, level: float, rng: np.random.Generator) -> Floats:
    grain = _gaussian(rng.standard_normal(image.shape, dtype=np.float32), _GRAIN * _side(image), mode="wrap")
    return np.asarray(image + 255 * level * grain / grain.std(), dtype=np.float32)


def _blur(image: Grey, level: float, _: np.random.Generator) -> Floats:
    return _gaussian(image.astype(np.float32), level * _side(image), mode="nearest")


def _contrast(image: Grey, level: float, _: np.random.Generator) -> Floats:
    mean = image.mean(dtype=np.float32)
    return np.asarray((image - mean) * np.float32(1 - level) + mean, dtype=np.float32)


def _brightness(image: Grey, level: float, rng: np.random.Generator) -> Floats:
    return np.asarray(image + np.float32(255 * level * _sign(rng)), dtype=np.float32)


def _gamma(image: Grey, level: float, rng: np.random.Generator) -> Floats:
    power = level if _sign(rng) > 0 else 1 / level
    return np.asarray(255 * (image / np.float32(255)) ** np.float32(power), dtype=np.float32)


def _jpeg(image: Grey, level: float, _: np.random.Generator) -> Floats:
    """What the codec changes in the image at about 224 pixels, brought back to its own size and added to it."""
    factor = max(1, -(-_JPEG_SIDE // _side(image)))
    height, width = image.shape
    large = np.asarray(Image.fromarray(image).resize((width * factor, height * factor), Image.Resampling.BICUBIC))
    encoded = simplejpeg.encode_jpeg(np.ascontiguousarray(large)[:, :, None], quality=int(level), colorspace="GRAY")
    changed = simplejpeg.decode_jpeg(encoded, colorspace="GRAY")[:, :, 0] - large.astype(np.float32)
    return np.asarray(image + changed.reshape(height, factor, width, factor).mean(axis=(1, 3)), dtype=np.float32)


def _rotation(image: Grey, level: float, rng: np.random.Generator) -> Floats:
    turned = ndimage.rotate(image.astype(np.float32), level * _sign(rng), reshape=False, order=1, cval=0.0)
    return np.asarray(turned, dtype=np.float32)


def _occlusion(image: Grey, level: float, rng: np.random.Generator) -> Grey:
    most = CORRUPTIONS["occlusion"].levels[-1] ** 0.5 / 2
    centre, grey = rng.uniform(most, 1 - most, 2), 255 if _sign(rng) > 0 else 0
    half, covered = level**0.5 / 2, image.copy()
    (top, left), (bottom, right) = (
        [round(float(share) * length) for share, length in zip(centre + move, image.shape, strict=True)]
        for move in (-half, half)
    )
    covered[top : max(bottom, top + 1), left : max(right, left + 1)] = grey
    return covered


def _burnt_in_text(image: Grey, level: float, rng: np.random.Generator) -> Floats:
    """White lines from the corners towards the middle: top left, top right, bottom left, bottom right, and again."""
    picture = Image.new("L", (_TEXT_SIDE, _TEXT_SIDE))
    draw, size = ImageDraw.Draw(picture), _LINE * _TEXT_SIDE
    font = ImageFont.load_default(size)
    for line in range(int(level)):
        text = "".join(rng.choice(list(_LETTERS), _LINE_LETTERS))
        below, right, row = line % 4 > 1, line % 2, 1 + line // 4
        place = (_TEXT_SIDE - size / 2 if right else size / 2, _TEXT_SIDE - row * size if below else row * size)
        draw.text(place, text, fill=255, font=font, anchor="rm" if right else "lm")
    height, width = image.shape
    cover = np.asarray(picture.resize((width, height), Image.Resampling.BOX), dtype=np.float32) / 255
    return np.asarray(image + (255 - image.astype(np.float32)) * cover, dtype=np.float32)


def _low_resolution(image: Grey, level: float, _: np.random.Generator) -> Grey:
    height, width = image.shape
    share = min(1.0, level / _side(image))
    small = (max(1, round(width * share)), max(1, round(height * share)))
    reduced = Image.fromarray(image).resize(small, Image.Resampling.BOX)
    return np.asarray(reduced.resize((width, height), Image.Resampling.BILINEAR))


def _sign(rng: np.random.Generator) -> int:
    """Half of the images go one way, half the other."""
    return 1 if rng.random() < 0.5 else -1


# The order is part of an image's seed: a new corruption goes to the end.
CORRUPTIONS: Mapping[str, Corruption] = {
    "noise": Corruption("Noise", (0.03, 0.06, 0.10, 0.16, 0.24), "deviation, of black to white", _noise),
    "blur": Corruption("Blur", (0.006, 0.012, 0.02, 0.03, 0.045), "deviation, of the side", _blur),
    "contrast": Corruption("Contrast", (0.2, 0.4, 0.55, 0.7, 0.85), "share that is lost", _contrast),
    "brightness": Corruption("Brightness", (0.06, 0.12, 0.2, 0.3, 0.42), "up or down, of black to white", _brightness),
    "gamma": Corruption("Gamma", (1.25, 1.6, 2.0, 2.6, 3.5), "exponent, or its inverse", _gamma),
    "jpeg": Corruption("JPEG", (35, 20, 12, 6, 2), "quality, at about 224 px", _jpeg),
    "rotation": Corruption("Rotation", (3, 7, 12, 20, 30), "degrees, either way", _rotation),
    "occlusion": Corruption("Occlusion", (0.01, 0.03, 0.07, 0.14, 0.25), "share covered, black or white", _occlusion),
    "burnt_in_text": Corruption("Burnt-in text", (1, 2, 4, 8, 12), "lines of 9 letters", _burnt_in_text),
    "low_resolution": Corruption("Low resolution", (48, 34, 24, 16, 10), "pixels across", _low_resolution),
}
