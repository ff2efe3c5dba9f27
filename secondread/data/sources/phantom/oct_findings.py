"""What the classes of OCT show: three patterns, as changes of the retina's borders and as dark spots within it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from secondread.data.sources.phantom.fields import Field, bump, uniform
from secondread.data.sources.phantom.latents import Amounts
from secondread.data.sources.phantom.oct import Deformation, RetinaView, Scan

# Half image heights that one full amount lifts or thickens; a healthy retina is about 0.5 thick.
_MEMBRANE_LIFT = 0.22
_MEMBRANE_FLUID = 0.13
_CYST_SWELLING = 0.2
_DRUSEN_LIFT = 0.12

Spot = tuple[float, float, float]


@dataclass(frozen=True)
class RetinaPlaces:
    """Where a patient's findings lie, as seen from the fovea. Drawn once a patient, regardless of the class.

    Attributes:
        membrane: x and half width of the neovascular membrane, and x of the fluid beside it.
        cysts: x, place in the retina (0 outer, 1 inner) and half width of each.
        swelling: half width of the thickened part.
        drusen: x, half width and height (about 1) of each.
    """

    membrane: Spot
    cysts: tuple[Spot, ...]
    swelling: float
    drusen: tuple[Spot, ...]


def draw_retina_places(rng: np.random.Generator) -> RetinaPlaces:
    """Draw where a patient's findings lie."""
    beside = 0.22 if rng.random() < 0.5 else -0.22
    return RetinaPlaces(
        membrane=(uniform(rng, -0.15, 0.15), uniform(rng, 0.24, 0.34), beside),
        cysts=tuple(
            (place + uniform(rng, -0.05, 0.05), uniform(rng, 0.3, 0.7), uniform(rng, 0.06, 0.12))
            for place in (-0.44, -0.29, -0.14, 0.0, 0.14, 0.29, 0.44)
        ),
        swelling=uniform(rng, 0.5, 0.7),
        drusen=tuple(
            (place + uniform(rng, -0.05, 0.05), uniform(rng, 0.07, 0.105), uniform(rng, 0.75, 1.2))
            for place in (-0.62, -0.4, -0.2, 0.0, 0.2, 0.4, 0.62)
        ),
    )


def deform(view: RetinaView, places: RetinaPlaces, amounts: Amounts, *, fovea: float) -> Deformation:
    """What the findings do to the borders.

    Args:
        view: the healthy borders.
        places: of this patient.
        amounts: of membrane, cysts and drusen.
        fovea: x of the pit.
    """
    membrane, cysts, drusen = amounts
    x = view.x - fovea
    place, half, beside = places.membrane
    dome = membrane * _MEMBRANE_LIFT * bump(np.square((x - place) / half))
    lens = membrane * _MEMBRANE_FLUID * bump(np.square((x - place - beside) / 0.34))
    bumps = np.zeros_like(x)
    for at, width, height in places.drusen:
        bumps += height * bump(np.square((x - at) / width))
    bumps *= drusen * _DRUSEN_LIFT
    elevation = dome + bumps
    # a membrane is brighter than the debris in a druse
    filling = (0.66 * dome + 0.5 * bumps) / (elevation + 1e-6)
    swelling = cysts * _CYST_SWELLING * bump(np.square(x / places.swelling))
    # small drusen only press on the outer layers, large changes lift all of them
    bulge = swelling + 0.65 * (dome + lens) + 0.12 * bumps
    return Deformation(elevation=elevation, fluid=lens, bulge=bulge, filling=filling)


def add_cysts(scan: Scan, view: RetinaView, places: RetinaPlaces, amount: float, *, fovea: float) -> None:
    """Draw dark cysts with bright walls into the retina, in place.

    Args:
        scan: as drawn; its picture is changed.
        view: of the same image.
        places: of this patient.
        amount: how large and dark the cysts are.
        fovea: x of the pit.
    """
    grown = 0.7 + 0.3 * amount
    for place, within, half in places.cysts:
        x = view.x - fovea - place
        columns = _window(np.abs(x) < half * grown * 1.3)
        floor, inner = scan.floor[columns], scan.inner[columns]
        middle = floor + (inner - floor) * within
        tall = (floor - inner) * 0.3 * grown
        rise = (view.y[:, None] - middle) / tall
        along = x[columns] / (half * grown)
        inside = bump(0.6 * (rise * rise + along * along))
        scan.picture[:, columns] *= 1 - min(1.0, 0.95 * amount) * np.minimum(inside * 1.9, np.float32(1))


def _window(chosen: np.ndarray[tuple[int], np.dtype[np.bool_]] | Field) -> slice:
    """The columns from the first to the last that is chosen; empty where none is."""
    places = np.flatnonzero(chosen)
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 0)
