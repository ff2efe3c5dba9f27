"""How one image is taken: where the patient stands, exposure and noise. Drawn anew for each image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from secondread.data.sources.phantom.fields import ByteImage, Field, grain, to_bytes, uniform


@dataclass(frozen=True)
class Acquisition:
    """One exposure or scan.

    Attributes:
        shift_x, shift_y: of the patient, in half image widths.
        zoom: size of the patient in the image, about 1.
        slope: sine of the rotation, about 0.
        gain: contrast, about 1.
        offset: brightness, about 0.
        gamma: how far the middle tones are bent, about 0; positive darkens them.
        noise: standard deviation, in units of black to white.
        wedge: how deep the white corner of a scan is, in half image heights; 0 or less for none. Chests have none.
    """

    shift_x: float
    shift_y: float
    zoom: float
    slope: float
    gain: float
    offset: float
    gamma: float
    noise: float
    wedge: float


def draw_acquisition(rng: np.random.Generator) -> Acquisition:
    """Draw one."""
    return Acquisition(
        shift_x=uniform(rng, -0.05, 0.05),
        shift_y=uniform(rng, -0.05, 0.05),
        zoom=uniform(rng, 0.95, 1.06),
        slope=uniform(rng, -0.045, 0.045),
        gain=uniform(rng, 0.92, 1.08),
        offset=uniform(rng, -0.03, 0.03),
        gamma=uniform(rng, -0.12, 0.12),
        noise=uniform(rng, 0.014, 0.032),
        wedge=uniform(rng, -1.0, 0.3),  # one scan in four has one
    )


def expose(picture: Field, acquisition: Acquisition, rng: np.random.Generator) -> ByteImage:
    """Bend the tones, add noise and round to grey levels.

    Args:
        picture: float32 (size, size), brightness 0 to 1 or a little beyond.
        acquisition: gain, offset, gamma and noise of this image.
        rng: of the noise.
    Returns:
        uint8 (size, size), 0 black.
    """
    tone = np.maximum(picture, np.float32(0))
    np.minimum(tone, np.float32(1), out=tone)
    bend = tone * np.float32(acquisition.gamma)
    bend += np.float32(1 - acquisition.gamma)
    tone *= bend
    tone *= np.float32(acquisition.gain)
    tone += np.float32(acquisition.offset)
    noise = grain(rng, picture.shape[0])
    noise *= np.float32(acquisition.noise)
    tone += noise
    return to_bytes(tone)
