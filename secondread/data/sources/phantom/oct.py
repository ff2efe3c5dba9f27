"""A retinal OCT scan (B-scan) through the fovea: vitreous, layers of the retina, pigment epithelium, choroid.

Coordinates: x from -1 to 1 across, y from -1 (vitreous) to 1 (sclera). Brightness is reflectivity. Every border is one
height per column, so that most of the work is done on lines and not on pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from secondread.data.sources.phantom.acquisition import Acquisition
from secondread.data.sources.phantom.fields import Field, axis, bump, lattice, ramp, texture, uniform

# Brightness by depth: 0 at the photoreceptors' outer tips, 1 at the inner limiting membrane.
_LAYERS = (
    (0.00, 0.30),
    (0.03, 0.32),  # outer segments
    (0.06, 0.78),
    (0.09, 0.78),  # ellipsoid zone
    (0.12, 0.30),
    (0.15, 0.36),  # external limiting membrane
    (0.18, 0.20),
    (0.37, 0.22),  # outer nuclear layer
    (0.42, 0.44),
    (0.47, 0.44),  # outer plexiform layer
    (0.51, 0.27),
    (0.60, 0.29),  # inner nuclear layer
    (0.64, 0.47),
    (0.74, 0.46),  # inner plexiform layer
    (0.78, 0.38),
    (0.86, 0.42),  # ganglion cells
    (0.91, 0.66),
    (1.00, 0.74),  # nerve fibres
)
_STEPS = 256


@dataclass(frozen=True)
class Retina:
    """One patient's anatomy. Lengths in half image heights, brightness from 0 to 1.

    Attributes:
        height: y of Bruch's membrane at the middle.
        tilt, bend: of the whole retina.
        thickness: of the retina away from the fovea.
        fovea: x of the pit.
        pit: how much of the thickness is missing there.
        pit_width: of the pit.
        nasal: how much thicker one side is than the other; its sign is the eye.
        pigment: thickness of the pigment epithelium's band.
        choroid, choroid_depth: brightness below it and how deep it goes.
        vitreous: brightness of the vitreous.
        vessels: x, half width and depth of each vessel's shadow.
        choroid_grain, fine_grain, wave: lattices of the textures and of the borders' unevenness.
    """

    height: float
    tilt: float
    bend: float
    thickness: float
    fovea: float
    pit: float
    pit_width: float
    nasal: float
    pigment: float
    choroid: float
    choroid_depth: float
    vitreous: float
    vessels: tuple[tuple[float, float, float], ...]
    choroid_grain: Field
    fine_grain: Field
    wave: Field


@dataclass(frozen=True)
class RetinaView:
    """A retina's borders in one image.

    Attributes:
        x: float32 (size,), the patient's coordinate of each column.
        y: float32 (size,), of each row.
        bruch: float32 (size,), y of Bruch's membrane.
        thickness: float32 (size,), of the healthy retina, without findings.
        pit: float32 (size,), 1 at the middle of the fovea, 0 away from it.
    """

    x: Field
    y: Field
    bruch: Field
    thickness: Field
    pit: Field


@dataclass(frozen=True)
class Deformation:
    """What findings do to the borders of a retina; float32 (size,) each, in half image heights.

    Attributes:
        elevation: how far the pigment epithelium is lifted off Bruch's membrane.
        fluid: thickness of the fluid between pigment epithelium and retina.
        bulge: how far the retina's inner border is pushed into the vitreous.
        filling: brightness of what lies under the lifted pigment epithelium.
    """

    elevation: Field
    fluid: Field
    bulge: Field
    filling: Field


@dataclass(frozen=True)
class Scan:
    """A drawn scan: brightness, float32 (size, size), and the retina's two borders, float32 (size,)."""

    picture: Field
    floor: Field
    inner: Field


def _layer_table() -> Field:
    """Brightness at each of the steps of depth, straight between the rows of `_LAYERS`."""
    depth = (np.arange(_STEPS, dtype=np.float32)) / np.float32(_STEPS - 1)
    table = np.full(_STEPS, _LAYERS[0][1], np.float32)
    for (start, low), (end, high) in pairwise(_LAYERS):
        reached = np.minimum(np.maximum((depth - np.float32(start)) / np.float32(end - start), 0), 1)
        table += reached * np.float32(high - low)
    return table


_TABLE = _layer_table()


def draw_retina(rng: np.random.Generator) -> Retina:
    """Draw a patient's retina."""
    return Retina(
        height=uniform(rng, 0.16, 0.34),
        tilt=uniform(rng, -0.13, 0.13),
        bend=uniform(rng, -0.14, 0.06),
        thickness=uniform(rng, 0.44, 0.55),
        fovea=uniform(rng, -0.2, 0.2),
        pit=uniform(rng, 0.38, 0.6),
        pit_width=uniform(rng, 0.34, 0.5),
        nasal=uniform(rng, -0.14, 0.14),
        pigment=uniform(rng, 0.026, 0.036),
        choroid=uniform(rng, 0.26, 0.5),
        choroid_depth=uniform(rng, 0.2, 0.4),
        vitreous=uniform(rng, 0.04, 0.1),
        vessels=tuple(
            (uniform(rng, -0.95, 0.95), uniform(rng, 0.02, 0.045), uniform(rng, 0.15, 0.45)) for _ in range(4)
        ),
        choroid_grain=lattice(rng, 20),
        fine_grain=lattice(rng, 40),
        wave=lattice(rng, 6),
    )


def view_retina(retina: Retina, acquisition: Acquisition, *, size: int) -> RetinaView:
    """Where the borders lie in one image."""
    x = (axis(size) - acquisition.shift_x * 2) / acquisition.zoom
    y = (axis(size) - acquisition.shift_y * 2) / acquisition.zoom
    wave = texture(retina.wave, x, axis(size)[:1])[0]
    bruch = retina.height + (retina.tilt + acquisition.slope * 2) * x + retina.bend * x * x + wave * 0.012
    across = (x - retina.fovea) / retina.pit_width
    pit = 1 / (1 + 3 * across * across * across * across + across * across)
    rim = bump(np.square((np.abs(x - retina.fovea) - 0.45) / 0.4))
    thickness = retina.thickness * (1 - retina.pit * pit + 0.08 * rim + retina.nasal * x)
    return RetinaView(x=x, y=y, bruch=bruch, thickness=thickness, pit=pit)


def draw_scan(retina: Retina, view: RetinaView, change: Deformation) -> Scan:
    """The picture, with the findings' deformations.

    Args:
        retina: the patient.
        view: borders without findings.
        change: what the findings do to the borders, and what they put where.
    Returns:
        Brightness, before noise, and where the retina ends above and below.
    """
    pigment = view.bruch - change.elevation
    floor = pigment - retina.pigment - change.fluid
    inner = view.bruch - retina.pigment - view.thickness - change.bulge
    y = view.y[:, None]

    depth = (floor - y) / (floor - inner)
    # in the pit the inner layers give way, and the outer nuclear layer reaches the surface
    table_at = np.minimum(np.maximum(depth, 0), 1) * ((_STEPS - 1) * (1 - 0.5 * view.pit))
    within = ramp((y - inner) * 60)
    picture = retina.vitreous + (_TABLE[table_at.astype(np.intp)] - retina.vitreous) * within

    fine = texture(retina.fine_grain, view.x, view.y)
    below_floor = ramp((y - floor) * 60)
    picture += (0.1 - picture) * below_floor  # fluid under the retina, dark
    under_pigment = ramp((y - pigment) * 60)
    picture += (change.filling * (1 + 0.3 * fine) - picture) * under_pigment
    picture += _choroid(retina, view, y, picture)
    band = (y - (pigment - 0.5 * retina.pigment)) / (0.75 * retina.pigment)
    picture += (0.92 - picture) * bump(band * band * 0.6) * 1.1
    picture *= (0.94 + 0.3 * fine) * _shadows(retina, view.x)
    return Scan(picture=picture, floor=floor, inner=inner)


def _choroid(retina: Retina, view: RetinaView, y: Field, picture: Field) -> Field:
    """What is below Bruch's membrane, as a difference to the picture so far."""
    below = y - view.bruch
    deep = below / retina.choroid_depth
    blobs = texture(retina.choroid_grain, view.x, view.y)
    brightness = retina.choroid * (1 + 0.45 * blobs) / (1 + deep * deep) + 0.03
    return (brightness - picture) * ramp(below * 60)


def _shadows(retina: Retina, x: Field) -> Field:
    """1, and less in the columns under a vessel."""
    light = np.ones_like(x)
    for place, half, depth in retina.vessels:
        light -= depth * bump(np.square((x - place) / half))
    return light


def add_wedge(picture: Field, acquisition: Acquisition) -> None:
    """Whiten, in place, the corner that the scanner's registration leaves empty in some scans."""
    if acquisition.wedge <= 0:
        return
    across = axis(picture.shape[0])
    edge = acquisition.wedge * (0.5 + 10 * acquisition.slope * across) - 1
    picture[axis(picture.shape[0])[:, None] < edge[None, :]] = 1.0
