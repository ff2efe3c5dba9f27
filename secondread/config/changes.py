"""Named changes to a film, as a list of behaviour tests or a known failure asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from secondread.config.mapping import from_mapping
from secondread.config.require import require
from secondread.errors import InputError

MARKER_LETTERS = ("L", "R")


@dataclass(frozen=True)
class AsPng:
    """The film encoded as PNG and read again, as any film is."""


@dataclass(frozen=True)
class AsDicom:
    """The film encoded as DICOM and read again, as any film is."""

    bits: int = 12  # stored bits a pixel; what detectors give
    inverted: bool = False  # stored as MONOCHROME1, where 0 is white

    def __post_init__(self) -> None:
        require(8 <= self.bits <= 16, f"bits must be from 8 to 16, not {self.bits}.")


@dataclass(frozen=True)
class Brightness:
    """Every pixel brighter, or darker, by as much."""

    by: float = 0.04  # of black to white, negative for darker: ten grey levels, which nobody sees without the other

    def __post_init__(self) -> None:
        require(-1 <= self.by <= 1, f"by must be from -1 to 1, not {self.by}.")


@dataclass(frozen=True)
class SideMarker:
    """A letter of lead at the upper edge, on the side that it names: an L is on the right of the picture."""

    letter: str = "L"  # or R
    height: float = 0.07  # of the shorter side; what markers have on chest films

    def __post_init__(self) -> None:
        require(self.letter in MARKER_LETTERS, f"letter must be {' or '.join(MARKER_LETTERS)}, not '{self.letter}'.")
        require(0 < self.height <= 0.5, f"height must be above 0 and at most 0.5, not {self.height}.")


@dataclass(frozen=True)
class Border:
    """A frame around the film, which is made smaller by as much, as scanners and viewers do."""

    width: float = 0.03  # of the shorter side; at least one pixel
    grey: int = 0  # 0 black to 255 white

    def __post_init__(self) -> None:
        require(0 < self.width <= 0.25, f"width must be above 0 and at most 0.25, not {self.width}.")
        require(0 <= self.grey <= 255, f"grey must be from 0 to 255, not {self.grey}.")


@dataclass(frozen=True)
class Opacity:
    """A soft bright spot, as a consolidation is on a chest film."""

    x: float = 0.3  # middle, of the width from the left: the right lung, which is free of the heart
    y: float = 0.45  # middle, of the height from the top
    radius: float = 0.14  # of the shorter side; most of a lobe
    by: float = 0.3  # brightness in the middle, of black to white: a lung filled half-way to the heart's grey

    def __post_init__(self) -> None:
        for name in ("x", "y", "radius", "by"):
            value = getattr(self, name)
            require(0 < value < 1, f"{name} must be above 0 and below 1, not {value}.")


Change = AsPng | AsDicom | Brightness | SideMarker | Border | Opacity

KINDS: Mapping[str, type[Change]] = {
    "as_png": AsPng,
    "as_dicom": AsDicom,
    "brightness": Brightness,
    "side_marker": SideMarker,
    "border": Border,
    "opacity": Opacity,
}


def change_from(value: Any, *, stage: str) -> Change:
    """Make a change from what a YAML file says: `{kind: brightness, by: 0.04}`, or `as_png` alone.

    Args:
        value: a mapping with `kind` and that kind's settings, or its name.
        stage: before the settings' names in errors.
    Raises:
        InputError: there is no such kind, or it has no such setting or value.
    """
    settings = {"kind": value} if isinstance(value, str) else value
    kind = KINDS.get(str(settings.get("kind"))) if isinstance(settings, Mapping) else None
    if kind is None:
        raise InputError(f"{stage} is {value!r}: give 'kind', one of {', '.join(KINDS)}, and its settings.")
    return from_mapping(kind, {name: each for name, each in settings.items() if name != "kind"}, stage=stage)
