"""From a case to its pixels."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from secondread.data.sources.phantom.acquisition import Acquisition, draw_acquisition, expose
from secondread.data.sources.phantom.cxr import Chest, draw_chest, view_chest
from secondread.data.sources.phantom.cxr_findings import ChestPlaces, chest_findings, draw_chest_places
from secondread.data.sources.phantom.fields import ByteImage, Field, grain
from secondread.data.sources.phantom.latents import MODALITY_OF, PATTERNS, Amounts
from secondread.data.sources.phantom.oct import Retina, add_wedge, draw_retina, draw_scan, view_retina
from secondread.data.sources.phantom.oct_findings import RetinaPlaces, add_cysts, deform, draw_retina_places
from secondread.data.sources.phantom.plan import Case, anatomy_stream, pixel_stream, places_stream, single_case
from secondread.errors import InputError

_SPECKLE = 0.22  # deviation of a scan's brightness, as a share of it
_SEEN = 0.04  # brightness (about ten grey levels) from which a change counts as part of the finding


def render(case: Case, *, size: int, with_finding: bool = True) -> ByteImage:
    """Draw a case.

    Args:
        case: patient, image and amounts.
        size: pixels of both sides.
        with_finding: False leaves out every pattern; anatomy, exposure and noise stay as they are.
    Returns:
        uint8 (size, size), 0 black.
    """
    rng = pixel_stream(case)
    acquisition = draw_acquisition(rng)
    amounts = case.amounts if with_finding else _none(case)
    if case.modality == "cxr":
        picture = _chest_picture(case, amounts, acquisition, size)
    else:
        picture = _scan_picture(case, amounts, acquisition, size)
        picture *= 1 + _SPECKLE * grain(rng, size)
        add_wedge(picture, acquisition)
    return expose(picture, acquisition, rng)


def finding_mask(case: Case, *, size: int) -> npt.NDArray[np.bool_]:
    """Where the findings of a case change the picture by ten grey levels or more: bool (size, size)."""
    draw = _chest_picture if case.modality == "cxr" else _scan_picture
    acquisition = draw_acquisition(pixel_stream(case))
    ill = draw(case, case.amounts, acquisition, size)
    healthy = draw(case, _none(case), acquisition, size)
    return np.asarray(np.abs(ill - healthy) >= _SEEN)


def phantom_image(class_name: str, *, size: int = 128, seed: int = 0, with_finding: bool = True) -> ByteImage:
    """One synthetic image of a class.

    Args:
        class_name: such as `cxr-covid`.
        size: pixels of both sides.
        seed: of patient, findings and noise.
        with_finding: False draws the same patient and the same noise, healthy.
    Returns:
        uint8 (size, size), 0 black.
    Raises:
        InputError: no such class.
    """
    return render(_case_of(class_name, seed), size=size, with_finding=with_finding)


def phantom_mask(class_name: str, *, size: int = 128, seed: int = 0) -> npt.NDArray[np.bool_]:
    """Where the finding is in the image that `phantom_image` gives for the same class, size and seed.

    Returns:
        bool (size, size). A normal image has traces of findings at most, so that its mask may be empty.
    Raises:
        InputError: no such class.
    """
    return finding_mask(_case_of(class_name, seed), size=size)


def _case_of(class_name: str, seed: int) -> Case:
    if class_name not in MODALITY_OF:
        raise InputError(f"the phantom has no class '{class_name}': use one of {', '.join(MODALITY_OF)}.")
    return single_case(class_name, seed=seed)


def _none(case: Case) -> Amounts:
    return (0.0,) * len(PATTERNS[case.modality])


def _chest_picture(case: Case, amounts: Amounts, acquisition: Acquisition, size: int) -> Field:
    chest, places = _chest_of(case.seed, case.patient, case.sex == "F")
    view = view_chest(chest, acquisition, size=size, portable=case.view == "AP")
    return view.picture + chest_findings(view, places, amounts)


def _scan_picture(case: Case, amounts: Amounts, acquisition: Acquisition, size: int) -> Field:
    retina, places = _retina_of(case.seed, case.patient)
    view = view_retina(retina, acquisition, size=size)
    scan = draw_scan(retina, view, deform(view, places, amounts, fovea=retina.fovea))
    add_cysts(scan, view, places, amounts[PATTERNS["oct"].index("cysts")], fovea=retina.fovea)
    return scan.picture


# The images of a patient come one after another, so a short memory saves most of the drawing of anatomy.
@lru_cache(maxsize=32)
def _chest_of(seed: int, patient: int, female: bool) -> tuple[Chest, ChestPlaces]:
    return draw_chest(anatomy_stream(seed, patient), female=female), draw_chest_places(places_stream(seed, patient))


@lru_cache(maxsize=32)
def _retina_of(seed: int, patient: int) -> tuple[Retina, RetinaPlaces]:
    return draw_retina(anatomy_stream(seed, patient)), draw_retina_places(places_stream(seed, patient))
