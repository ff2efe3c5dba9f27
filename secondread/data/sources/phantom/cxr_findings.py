"""What the classes of chest X-ray show: four patterns, each in the amount that an image has of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from secondread.data.sources.phantom.cxr import ChestView
from secondread.data.sources.phantom.fields import Field, bump, lattice, ramp, texture, uniform
from secondread.data.sources.phantom.latents import Amounts

# Brightness that one full amount adds where the pattern is densest; lungs have about 0.25, the heart 0.76.
_GROUND_GLASS = 0.33
_CONSOLIDATION = 0.46
_INTERSTITIAL = 0.2
_APICAL = 0.32
# y below which nothing apical is drawn, rotation and the lowest nodule allowed for.
_APICAL_END = 0.0


@dataclass(frozen=True)
class ChestPlaces:
    """Where a patient's findings lie. Drawn once a patient and, like the anatomy, regardless of the class.

    Attributes:
        patches, fluff: coarse and finer lattice that break up hazes and borders.
        mesh, finer_mesh: lattices of the interstitial lines.
        focus: x and y of the consolidation.
        spread: its half width and half height, in half image widths.
        lateral: how much less ground glass the patient's left lung has than the right, -0.3 to 0.3.
        apex_side: -1 or 1, the lung with more apical disease.
        other_apex: how much the other apex has of it, 0.15 to 0.6.
        nodules: x (distance from the spine), y and side of each.
        cavity: x (distance from the spine) and y.
    """

    patches: Field
    fluff: Field
    mesh: Field
    finer_mesh: Field
    focus: tuple[float, float]
    spread: tuple[float, float]
    lateral: float
    apex_side: float
    other_apex: float
    nodules: tuple[tuple[float, float, float], ...]
    cavity: tuple[float, float]


def draw_chest_places(rng: np.random.Generator) -> ChestPlaces:
    """Draw where a patient's findings lie."""
    focus_side = -1.0 if rng.random() < 0.6 else 1.0  # the right lung is the larger and has more of the pneumonias
    apex_side = -1.0 if rng.random() < 0.6 else 1.0
    return ChestPlaces(
        patches=lattice(rng, 7),
        fluff=lattice(rng, 17),
        mesh=lattice(rng, 25),
        finer_mesh=lattice(rng, 41),
        focus=(focus_side * uniform(rng, 0.42, 0.54) + 0.03, uniform(rng, -0.16, 0.18)),
        spread=(uniform(rng, 0.25, 0.32), uniform(rng, 0.28, 0.38)),
        lateral=uniform(rng, -0.3, 0.3),
        apex_side=apex_side,
        other_apex=uniform(rng, 0.15, 0.6),
        nodules=tuple(
            (uniform(rng, 0.24, 0.55), uniform(rng, -0.62, -0.2), apex_side if rng.random() < 0.7 else -apex_side)
            for _ in range(5)
        ),
        cavity=(uniform(rng, 0.3, 0.42), uniform(rng, -0.52, -0.4)),
    )


def chest_findings(view: ChestView, places: ChestPlaces, amounts: Amounts) -> Field:
    """What the findings add to the picture.

    Args:
        view: the chest, as it stands in the image.
        places: of this patient.
        amounts: of ground glass, consolidation, interstitial lines and apical disease.
    Returns:
        float32 (size, size), brightness to add; 0 outside the lungs.
    """
    ground_glass, consolidation, interstitial, apical = amounts
    clouds = texture(places.patches, view.across, view.down) * 0.65
    clouds += texture(places.fluff, view.across, view.down) * 0.5
    added = _ground_glass(view, places, clouds) * (ground_glass * _GROUND_GLASS)
    added += _consolidation(view, places, clouds) * (consolidation * _CONSOLIDATION)
    added += _interstitial(view, places) * (interstitial * _INTERSTITIAL)
    upper = int((view.down < _APICAL_END).sum())
    added[:upper] += _apical(view, places, clouds, upper) * (apical * _APICAL)
    added *= view.lung
    return added


def _ground_glass(view: ChestView, places: ChestPlaces, clouds: Field) -> Field:
    """Hazy patches on both sides, near the lateral wall and rather below than above."""
    lower = ramp((view.y + 0.55) * 1.3)
    uneven = np.where(view.x > 0, np.float32(1 + places.lateral), np.float32(1 - places.lateral))
    return ramp((1 - view.depth) * 1.5 - 0.1) * lower * uneven * (0.85 + 0.75 * clouds)


def _consolidation(view: ChestView, places: ChestPlaces, clouds: Field) -> Field:
    """One dense focus with an irregular border."""
    across = (view.x - places.focus[0]) * (1 / places.spread[0])
    down = (view.y - places.focus[1]) * (1 / places.spread[1])
    near = 1 - across * across - down * down
    return ramp(near * 0.9 + 0.15 + 0.8 * clouds) * ramp(near + 0.8)


def _interstitial(view: ChestView, places: ChestPlaces) -> Field:
    """A net of fine lines through both lungs, with a little haze; denser towards the hila."""
    coarse = np.abs(texture(places.mesh, view.across, view.down))
    fine = np.abs(texture(places.finer_mesh, view.across, view.down))
    net = bump(coarse * 2.2) + 0.8 * bump(fine * 2.4)
    central: Field = 1 / (1 + view.x * view.x * 1.2)
    return (0.1 + 0.75 * net) * central


def _apical(view: ChestView, places: ChestPlaces, clouds: Field, rows: int) -> Field:
    """Streaks, nodules and a cavity above, more on one side; drawn for the upper rows only, the rest has none."""
    x, y = view.x[:rows], view.y[:rows]
    share = np.where(x * places.apex_side > 0, np.float32(1), np.float32(places.other_apex))
    pattern: Field = ramp((-0.1 - y) * 2.6) * share * (0.7 + 0.95 * clouds[:rows])
    for nodule_x, nodule_y, of_side in places.nodules:
        pattern += _spot(x, y, at=(nodule_x * of_side, nodule_y), radius=0.095) * 0.75
    hole = _spot(x, y, at=(places.cavity[0] * places.apex_side, places.cavity[1]), radius=0.19)
    hole *= 1 + 0.35 * clouds[:rows]
    # a wall where the spot is a third as high as in the middle, and air within
    pattern += 0.5 * bump(np.square((hole - 0.32) / 0.32))
    pattern -= 0.7 * ramp((hole - 0.45) * 3)
    return pattern


def _spot(x: Field, y: Field, *, at: tuple[float, float], radius: float) -> Field:
    across, down = x - at[0], y - at[1]
    return bump((across * across + down * down) / (radius * radius))
