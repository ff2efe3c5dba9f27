"""Which patient has which images, of which class, under which label: all that is known before a pixel is drawn.

Every patient and image has random streams of its own, named by numbers (seed, modality, patient, image, purpose), so
that an image is the same in whatever order, however many are asked for, and on whatever machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from secondread.data.sources.phantom.latents import MODALITY_OF, Amounts, draw_amounts
from secondread.data.sources.phantom.spec import PhantomSpec

MOST_IMAGES = 5  # of one patient; one to five are equally frequent

# What a stream is for. Numbers, once used, keep their meaning.
_COUNTS, _CLASSES, _PERSON, _ANATOMY, _PLACES, _LATENTS, _PIXELS = range(7)


@dataclass(frozen=True)
class Case:
    """One image, not drawn yet.

    Attributes:
        seed: of the source.
        patient: number of the patient, from 0.
        image: number of the image within the patient, from 0.
        true_class: what it shows.
        label: what it is said to show; differs from `true_class` where the label is wrong.
        amounts: of each pattern of the modality, 0 none, 1 fully developed.
        sex: F or M.
        age: years.
        view: PA or AP for a chest; `macula` for a scan.
    """

    seed: int
    patient: int
    image: int
    true_class: str
    label: str
    amounts: Amounts
    sex: str
    age: float
    view: str

    @property
    def modality(self) -> str:
        """`cxr` or `oct`."""
        return MODALITY_OF[self.true_class]


def anatomy_stream(seed: int, patient: int) -> np.random.Generator:
    """Random numbers of the patient's anatomy: the same for all images of the patient."""
    return _stream(seed, _ANATOMY, patient)


def places_stream(seed: int, patient: int) -> np.random.Generator:
    """Random numbers of where the patient's findings lie."""
    return _stream(seed, _PLACES, patient)


def pixel_stream(case: Case) -> np.random.Generator:
    """Random numbers of how the image was taken, and of its noise."""
    return _stream(case.seed, _PIXELS, case.patient, case.image)


def plan(spec: PhantomSpec) -> Iterator[Case]:
    """Every image of a source, patient by patient.

    The first images of a larger source are those of a smaller one with otherwise equal parameters.
    """
    left = spec.images
    for patient, (count, true_class) in enumerate(_patients(spec)):
        sex, age = _person(spec.seed, patient)
        for image in range(min(count, left)):
            yield _case(spec, patient, image, true_class, sex, age)
        left -= count
        if left <= 0:
            return


def single_case(class_name: str, *, seed: int) -> Case:
    """A case of a class by itself, outside any source, rightly labelled."""
    return _case(PhantomSpec(seed=seed, wrong_labels=0.0), 0, 0, class_name, *_person(seed, 0))


def _patients(spec: PhantomSpec) -> Iterator[tuple[int, str]]:
    """Number of images and class of each patient, without end. Each run of len(classes) patients has every class."""
    counts, order = _stream(spec.seed, _COUNTS), _stream(spec.seed, _CLASSES)
    while True:
        for index in np.argsort(order.random(len(spec.classes)), kind="stable").tolist():
            yield 1 + int(counts.random() * MOST_IMAGES), spec.classes[index]


def _person(seed: int, patient: int) -> tuple[str, float]:
    rng = _stream(seed, _PERSON, patient)
    sex = "F" if rng.random() < 0.5 else "M"
    # the mean of two even draws: few children and few of the very old
    return sex, float(int(18 + 72 * (rng.random() + rng.random()) / 2))


def _case(spec: PhantomSpec, patient: int, image: int, true_class: str, sex: str, age: float) -> Case:
    rng = _stream(spec.seed, _LATENTS, patient, image)
    amounts = draw_amounts(true_class, rng)
    modality = MODALITY_OF[true_class]
    others = [name for name in spec.classes_of(modality) if name != true_class]
    wrong, which, portable = rng.random(3).tolist()
    label = others[int(which * len(others))] if others and wrong < spec.wrong_labels else true_class
    view = "macula" if modality == "oct" else "AP" if portable < 0.3 else "PA"
    return Case(spec.seed, patient, image, true_class, label, amounts, sex, age, view)


def _stream(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key[0], spawn_key=key[1:])))
