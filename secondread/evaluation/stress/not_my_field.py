"""What a model does with images that are not of its field: how many of them its `ood_score` turns away.

Images are assembled here, with nothing to fetch: phantoms of another modality, photographs and drawings that
scikit-image and scikit-learn ship, handwritten digits, pages of text, noise, and the model's own test images upside
down and inverted; and whatever folders a site names. All are made ready as films are. What share of the own images is
turned away stands beside it: without that, a score that turns away everything would be the best.

The last two kinds are shown to the score when it is fitted (on training images: `secondread.training.
out_of_distribution`), so that they say less about what nobody has thought of.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter
from scipy.stats import beta

from secondread.data.pixels.preprocess import Preprocessing, preprocess
from secondread.data.sources.names import readable_name
from secondread.data.sources.phantom.source import PhantomSource
from secondread.data.unlabelled import read_unlabelled
from secondread.errors import InputError
from secondread.taxonomy import Taxonomy

Pixels = npt.NDArray[np.uint8]
Score = Callable[[Pixels], npt.NDArray[np.floating]]

# Pictures in the wheels of scikit-image and scikit-learn; a list, so that a new version does not change the set
_SCIKIT_IMAGE = (
    "astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "chessboard_GRAY.png",
    "clock_motion.png", "coffee.png", "coins.png", "color.png", "grass.png", "gravel.png",
    "horse.png", "hubble_deep_field.jpg", "ihc.png", "microaneurysms.png", "moon.png", "motorcycle_left.png",
    "page.png", "phantom.png", "retina.jpg", "rocket.jpg", "text.png",
)  # fmt: skip
_SCIKIT_LEARN = ("china.jpg", "flower.jpg")
_CROPS = 4  # of each picture, besides the whole: there are few of them
_CROPPED = 0.6  # of each side
_PHANTOM_SIDE = 256  # pixels they are drawn with
FLOOR = 0.9  # share of a kind that is to be turned away
_LETTERS = "etaoinshrdlucmfwypvbgkqjxz"


@dataclass(frozen=True)
class Kind:
    """Images that a model was not made for.

    Attributes:
        name: in words.
        images: uint8 (images, 1, size, size).
        taught: the score was fitted with images that were changed in this way.
    """

    name: str
    images: Pixels
    taught: bool = False


@dataclass(frozen=True)
class Flagged:
    """How many of some images lie above the threshold.

    Attributes:
        n: images.
        flagged: of them.
        share: flagged / n.
        low, high: Clopper-Pearson interval of the share.
        taught: as in `Kind`.
    """

    n: int
    flagged: int
    share: float
    low: float
    high: float
    taught: bool = False


@dataclass(frozen=True)
class NotMyField:
    """The answer of one model.

    Attributes:
        threshold: of its `ood_score`.
        level: of the intervals.
        own: images of its field; these are false alarms.
        kinds: by name, in the order they were assembled.
        together: all kinds as one set.
    """

    threshold: float
    level: float
    own: Flagged
    kinds: dict[str, Flagged]
    together: Flagged

    @property
    def unseen(self) -> tuple[str, ...]:
        """Kinds of which it lets through more than one in ten: what it cannot see."""
        return tuple(name for name, found in self.kinds.items() if found.share < FLOOR)

    @property
    def surely_unseen(self) -> tuple[str, ...]:
        """The same where it is no chance: the whole interval lies under the floor."""
        return tuple(name for name, found in self.kinds.items() if found.high < FLOOR)

    def to_json(self) -> dict[str, Any]:
        """As JSON, with the kinds that it cannot see."""
        return {**asdict(self), "unseen": list(self.unseen)}


def not_my_field(
    score: Score, own: Pixels, kinds: tuple[Kind, ...], *, threshold: float, level: float = 0.95
) -> NotMyField:
    """Count what a model turns away.

    Args:
        score: uint8 (images, 1, size, size) to `ood_score`, float (images,).
        own: images of its field that it has not seen, as `score` takes them.
        kinds: of other fields, at least one.
        threshold: above which an image is turned away.
        level: of the intervals.
    """
    found = {kind.name: (score(kind.images) > threshold, kind.taught) for kind in kinds}
    everything = np.concatenate([flags for flags, _ in found.values()])
    return NotMyField(
        threshold=threshold,
        level=level,
        own=_count(score(own) > threshold, level),
        kinds={name: _count(flags, level, taught=taught) for name, (flags, taught) in found.items()},
        together=_count(everything, level, taught=any(kind.taught for kind in kinds)),
    )


def assemble(
    own: Pixels, spec: Preprocessing, taxonomy: Taxonomy, *, most: int, seed: int = 0, places: Sequence[str] = ()
) -> tuple[Kind, ...]:
    """Images of other fields, made ready in a model's own way; the same for the same arguments.

    Args:
        own: uint8 (images, 1, size, size), images of the model's field.
        spec: the model's preprocessing.
        taxonomy: of the model; phantoms of a modality that it names are of its field.
        most: images of a kind.
        seed: of what is drawn at random.
        places: folders, archives or URIs whose images are a kind each, labels not looked at.
    Raises:
        InputError: a place has no image that can be read, or is named twice.
    """
    some = _some(own, most, seed)
    ours = [
        *(
            Kind(f"phantoms: {modality}", _ready(_phantoms(modality, most, seed), spec))
            for modality in _other_modalities(taxonomy)
        ),
        Kind("pictures of scikit-image and scikit-learn", _ready(_pictures(most, seed), spec)),
        Kind("handwritten digits", _ready(_digits(most, seed), spec)),
        Kind("pages of text", _ready(_text(most, seed), spec)),
        Kind("noise", _ready(_noise(most, spec.size, seed), spec)),
        Kind("upside down", np.ascontiguousarray(some[:, :, ::-1]), taught=True),
        Kind("inverted", 255 - some, taught=True),
    ]
    named = _names(places, taken={kind.name for kind in ours})
    theirs = [Kind(name, _some(read_unlabelled([place], spec), most, seed)) for place, name in named.items()]
    return (*theirs, *ours)


def _count(flags: npt.NDArray[np.bool_], level: float, *, taught: bool = False) -> Flagged:
    n, flagged = len(flags), int(flags.sum())
    tail = (1 - level) / 2
    low = float(beta.ppf(tail, flagged, n - flagged + 1)) if flagged else 0.0
    high = float(beta.ppf(1 - tail, flagged + 1, n - flagged)) if flagged < n else 1.0
    return Flagged(n, flagged, flagged / n, low, high, taught)


def _choice(count: int, most: int, seed: int) -> npt.NDArray[np.int64]:
    chosen = np.random.default_rng(seed).permutation(count)[:most]
    return np.asarray(np.sort(chosen), dtype=np.int64)


def _names(places: Sequence[str], *, taken: Set[str]) -> dict[str, str]:
    """What each place is called in a report: the last part, unless that is the same of two; never as another kind is.

    Raises:
        InputError: a place is named twice.
    """
    if len(set(places)) < len(places):
        twice = next(place for place in places if places.count(place) > 1)
        raise InputError(f"{readable_name(twice)} is named twice as another field: name it once.")
    last = [readable_name(PurePath(place).name) for place in places]
    names = last if len(set(last)) == len(last) else [readable_name(place) for place in places]
    return {
        place: f"{name} (a named place)" if name in taken else name for place, name in zip(places, names, strict=True)
    }


def _some(images: Pixels, most: int, seed: int) -> Pixels:
    return images[_choice(len(images), most, seed)]


def _ready(pictures: Iterator[bytes], spec: Preprocessing) -> Pixels:
    return np.stack([preprocess(picture, spec) for picture in pictures])[:, None]


def _other_modalities(taxonomy: Taxonomy) -> tuple[str, ...]:
    """Modalities of phantoms that are none of the model's; none where it does not say what its classes are of."""
    own = {info.modality for info in taxonomy.classes}
    return () if "" in own else tuple(name for name in ("cxr", "oct") if name not in own)


def _phantoms(modality: str, count: int, seed: int) -> Iterator[bytes]:
    source = PhantomSource(f"phantom://{modality}?images={count}&size={_PHANTOM_SIDE}&seed={seed}")
    return (image.read() for image in source.images())


def _pictures(most: int, seed: int) -> Iterator[bytes]:
    """Each whole, then crops of each, until there are enough."""
    random = np.random.default_rng(seed)
    for number in range(most):
        turn, which = divmod(number, len(_files()))
        if turn > _CROPS:
            return
        with Image.open(_files()[which]) as opened:
            picture = opened.convert("L")
        if turn:
            width, height = (int(_CROPPED * side) for side in picture.size)
            left = int(random.integers(picture.width - width + 1))
            top = int(random.integers(picture.height - height + 1))
            picture = picture.crop((left, top, left + width, top + height))
        yield _png(picture)


@lru_cache(maxsize=1)
def _files() -> tuple[Path, ...]:
    import skimage
    import sklearn

    return (
        *(Path(skimage.__file__).parent / "data" / name for name in _SCIKIT_IMAGE),
        *(Path(sklearn.__file__).parent / "datasets" / "images" / name for name in _SCIKIT_LEARN),
    )


def _digits(most: int, seed: int) -> Iterator[bytes]:
    from sklearn.datasets import load_digits

    images = load_digits().images
    for index in _choice(len(images), most, seed):
        small = Image.fromarray((images[index] * (255 / 16)).astype(np.uint8))
        yield _png(small.resize((128, 128), Image.Resampling.BICUBIC))


def _text(most: int, seed: int) -> Iterator[bytes]:
    """Pages of made-up words, black on white and white on black by turns, in several sizes."""
    random = np.random.default_rng(seed)
    weights = np.linspace(2, 0.1, len(_LETTERS))
    for number in range(most):
        paper, ink = ((255, 0), (0, 255))[number % 2]
        page = Image.new("L", (384, 384), paper)
        size = int(random.integers(10, 40))
        words = (
            "".join(random.choice(list(_LETTERS), size=random.integers(2, 10), p=weights / weights.sum()))
            for _ in range(3 * (384 // size) ** 2 // 10 + 20)
        )
        lines, width = [""], 384 * 2 // size
        for word in words:
            lines = [*lines[:-1], f"{lines[-1]} {word}"] if len(lines[-1]) + len(word) < width else [*lines, word]
        ImageDraw.Draw(page).multiline_text((8, 8), "\n".join(lines), fill=ink, font=ImageFont.load_default(size))
        yield _png(page)


def _noise(most: int, size: int, seed: int) -> Iterator[bytes]:
    """White, coarse and soft noise and single greys, by turns."""
    random = np.random.default_rng(seed)
    for number in range(most):
        kind = number % 4
        values: npt.NDArray[Any]
        if kind == 0:
            values = random.integers(0, 256, (size, size))
        elif kind == 1:
            values = np.kron(random.integers(0, 256, (8, 8)), np.ones((size // 8 + 1, size // 8 + 1)))[:size, :size]
        elif kind == 2:
            soft = gaussian_filter(random.normal(size=(size, size)), size / random.integers(8, 32))
            values = 255 * (soft - soft.min()) / (soft.max() - soft.min())
        else:
            values = np.full((size, size), random.integers(0, 256))
        yield _png(Image.fromarray(values.astype(np.uint8)))


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, format="PNG")
    return file.getvalue()
