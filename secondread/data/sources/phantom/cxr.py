"""A frontal chest radiograph without findings: body, lungs, heart, diaphragm, ribs, clavicles, spine, vessels.

Coordinates: x from -1 (the patient's right, left in the image) to 1, y from -1 (top) to 1. Brightness is what a film
shows: bone and fluid bright, air dark.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from secondread.data.sources.phantom.acquisition import Acquisition
from secondread.data.sources.phantom.fields import Field, axis, bump, lattice, ramp, texture, uniform


@dataclass(frozen=True)
class Chest:
    """One patient's anatomy. Lengths in half image widths, brightness from 0 to 1.

    Attributes:
        width: of the chest, about 1.
        apex, base: y of the lungs' top and of the right dome of the diaphragm.
        dome_step: how much lower the left dome is.
        dome_curve: of both domes.
        taper: how much narrower the lungs are above than below.
        scoliosis: sideways bend of the spine.
        heart: its size, about 1.
        heart_tilt: 0 to 1, how high its left border begins.
        aorta: how far its knob stands out.
        rib_spacing, rib_phase, rib_slope, rib_bend, rib_brightness: of the posterior ribs.
        clavicle_y, clavicle_slope: where the clavicles are.
        lung_tone: brightness of the lungs.
        vessels: brightness of the lungs' markings.
        breast: brightness of the breasts' shadow; 0 for none.
        gas: brightness that the stomach's bubble takes away; 0 for none.
        vessel_grain, fine_grain, tissue_grain: lattices of the textures.
    """

    width: float
    apex: float
    base: float
    dome_step: float
    dome_curve: float
    taper: float
    scoliosis: float
    heart: float
    heart_tilt: float
    aorta: float
    rib_spacing: float
    rib_phase: float
    rib_slope: float
    rib_bend: float
    rib_brightness: float
    clavicle_y: float
    clavicle_slope: float
    lung_tone: float
    vessels: float
    breast: float
    gas: float
    vessel_grain: Field
    fine_grain: Field
    tissue_grain: Field


@dataclass(frozen=True)
class ChestView:
    """What the findings need to know of a chest as it stands in one image.

    Attributes:
        x, y: float32 (size, size), the patient's coordinates of each pixel.
        across, down: float32 (size,), the same without the rotation, for textures.
        lung: float32 (size, size), 1 where lung is seen, 0 elsewhere.
        depth: float32 (size, size), 1 at the middle of a lung, 0 at its lateral edge.
        picture: float32 (size, size), brightness.
    """

    x: Field
    y: Field
    across: Field
    down: Field
    lung: Field
    depth: Field
    picture: Field


def draw_chest(rng: np.random.Generator, *, female: bool) -> Chest:
    """Draw a patient's chest."""
    breast = uniform(rng, 0.03, 0.1)
    return Chest(
        width=uniform(rng, 0.9, 1.08),
        apex=uniform(rng, -0.84, -0.7),
        base=uniform(rng, 0.36, 0.58),
        dome_step=uniform(rng, 0.01, 0.1),
        dome_curve=uniform(rng, 0.7, 1.5),
        taper=uniform(rng, 0.12, 0.3),
        scoliosis=uniform(rng, -0.03, 0.03),
        heart=uniform(rng, 0.85, 1.18),
        heart_tilt=uniform(rng, 0.0, 1.0),
        aorta=uniform(rng, 0.02, 0.09),
        rib_spacing=uniform(rng, 0.15, 0.2),
        rib_phase=uniform(rng, 0.0, 1.0),
        rib_slope=uniform(rng, -0.15, 0.1),
        rib_bend=uniform(rng, 0.25, 0.5),
        rib_brightness=uniform(rng, 0.07, 0.13),
        clavicle_y=uniform(rng, -0.66, -0.56),
        clavicle_slope=uniform(rng, 0.28, 0.46),
        lung_tone=uniform(rng, 0.2, 0.29),
        vessels=uniform(rng, 0.04, 0.08),
        breast=breast if female else 0.0,
        gas=max(0.0, uniform(rng, -0.1, 0.25)),
        vessel_grain=lattice(rng, 14),
        fine_grain=lattice(rng, 34),
        tissue_grain=lattice(rng, 4),
    )


def view_chest(chest: Chest, acquisition: Acquisition, *, size: int, portable: bool) -> ChestView:
    """Draw the chest as it stands in one image.

    Args:
        chest: the patient.
        acquisition: shift, zoom and rotation.
        size: pixels of both sides.
        portable: taken from the front (AP), which makes the heart larger.
    """
    across = (axis(size) - acquisition.shift_x) / acquisition.zoom
    down = (axis(size) - acquisition.shift_y) / acquisition.zoom
    # The cosine of so small an angle is 1 within a thousandth. What is soft or wide may stay unrotated: a row or a
    # column is then enough to draw it.
    row, column = across[None, :] / chest.width, down[:, None]
    x = row + column * acquisition.slope - chest.scoliosis * (column * 2 - column * column)
    y = column - across[None, :] * acquisition.slope
    side = np.abs(x)

    shape, depth = _lung_shape(chest, side, y)
    above = ramp((_diaphragm(chest, row) - y) * 22)
    solid = _mediastinum(chest, x, column, enlarged=1.12 if portable else 1.0)
    lung = ramp(shape * 7) * above
    clear = lung * (1 - solid)

    picture = texture(chest.tissue_grain, across, down) * 0.035
    picture += 0.78 - above * 0.12
    if chest.breast > 0:
        picture += bump(np.square((np.abs(row) - 0.45) / 0.36) + np.square((column - 0.42) / 0.3)) * (
            1.6 * chest.breast
        )
    picture += (chest.lung_tone - 0.66) * lung
    picture += (0.76 - picture) * solid
    picture += _markings(chest, side, column, across, down) * clear
    picture += _bones(chest, x, y, column, shape) * (0.35 + 0.65 * clear)
    picture -= bump(np.square((row - 0.4) / 0.2) + np.square((column - chest.base - 0.2) / 0.12)) * chest.gas
    picture *= _body(np.abs(row), y)
    return ChestView(x=x, y=y, across=across, down=down, lung=clear, depth=depth, picture=picture)


def _lung_shape(chest: Chest, side: Field, y: Field) -> tuple[Field, Field]:
    """Positive inside the outline of a lung; and how far from its lateral edge."""
    middle = (chest.base + 0.28 + chest.apex) / 2
    v = (y - middle) * (1 / (chest.base + 0.28 - middle))
    width = 0.385 * (1 + chest.taper * np.minimum(v, np.float32(0.6)))
    u = (side - (0.42 + 0.05 * v)) / width
    squares = v * v
    return 1 - squares * (0.45 + squares * 0.55) - u * u, ramp((1 - u) * 0.8)


def _diaphragm(chest: Chest, row: Field) -> Field:
    """y of the diaphragm over x, float32 (1, size)."""
    offset = np.abs(row) - 0.38
    return chest.base + chest.dome_step * (row > 0).astype(np.float32) + chest.dome_curve * offset * offset


def _mediastinum(chest: Chest, x: Field, column: Field, *, enlarged: float) -> Field:
    """Heart, great vessels and spine, as a silhouette with a border on each side: 1 inside, 0 outside."""
    size = chest.heart * enlarged
    ventricle = ramp((column + 0.2 - 0.1 * chest.heart_tilt) / (chest.base + 0.16))
    knob = bump(np.square((column + 0.34) / 0.13))
    left = 0.1 + chest.aorta * knob + (0.34 * size) * ventricle * (0.55 + 0.45 * ventricle)
    atrium = bump(np.square((column - chest.base + 0.2) / 0.42))
    right = 0.1 + (0.13 * size) * atrium
    return ramp(np.minimum(left - x, right + x) * 12 + 0.5)


def _markings(chest: Chest, side: Field, column: Field, across: Field, down: Field) -> Field:
    """Vessels that leave the hilum, and the fine grain of the lung."""
    hilum: Field = 1 / (1 + np.square((side - 0.14) / 0.22) + np.square((column + 0.04) / 0.3))
    coarse = texture(chest.vessel_grain, across, down)
    marks: Field = hilum * (1.6 + coarse * 1.5) + coarse * 0.35
    marks += texture(chest.fine_grain, across, down) * 0.4
    marks *= chest.vessels
    return marks


def _bones(chest: Chest, x: Field, y: Field, column: Field, shape: Field) -> Field:
    """Ribs, clavicles and vertebrae."""
    side = np.abs(x)
    outward = side * side
    posterior = (y - chest.rib_slope * side - chest.rib_bend * outward) / chest.rib_spacing + chest.rib_phase
    anterior = (y + 0.55 * side) / (chest.rib_spacing * 1.05) + (chest.rib_phase + 0.4)
    ribs = _stripes(anterior, 0.3) * ramp((side - 0.3) * 3) * 0.5
    ribs += _stripes(posterior, 0.27)
    ribs *= ramp((shape + 0.22) * 4) * chest.rib_brightness
    rise = y - chest.clavicle_y + chest.clavicle_slope * (side - 0.1) - 0.36 * outward
    reach = np.minimum(np.maximum(np.minimum((side - 0.05) * 12, (0.72 - side) * 8), np.float32(0)), np.float32(1))
    ribs += bump(np.square(rise / 0.042)) * reach * 0.2
    ribs += bump(np.square(x / 0.1)) * (0.05 + 0.05 * _stripes(column / 0.105, 0.42))
    return ribs


def _stripes(phase: Field, half: float) -> Field:
    """A soft stripe around every whole number plus a half, `half` periods to each side."""
    place = phase - np.floor(phase)
    place -= np.float32(0.5)
    place *= place
    place *= np.float32(1 / (half * half))
    return bump(place)


def _body(side: Field, y: Field) -> Field:
    """1 on the patient, falling to the dark of the film beside the neck and outside the chest.

    Args:
        side: float32 (1, size), distance from the spine.
        y: float32 (size, size).
    """
    shoulder = -0.98 + 0.5 * np.maximum(side - 0.26, np.float32(0))
    return 0.04 + ramp((y - shoulder) * 8) * (ramp((1.0 - side) * 9) * 0.96)
