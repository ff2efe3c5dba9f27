"""Does a film belong in its set, by its own DICOM header? A hand, or a slice of a CT, is no chest film.

DICOM PS3.3 C.7.3.1: modality and body part of a series. PS3.16 annex L: codes of body parts.
"""

from __future__ import annotations

from secondread.data.pixels.dicom_facts import OTHER, DicomFacts

CONTRADICTION = "is of another modality or body part than its set"  # the reason, without its details

_RADIOGRAPHS = frozenset({"CR", "DX", "DR", "RG"})
_CHEST = frozenset({"CHEST", "THORAX", "LUNG", "LUNGS"})
_EYE = frozenset({"EYE", "RETINA", "ORBIT"})
_SAYS_NOTHING = frozenset({"", OTHER})
_ANYTHING = _SAYS_NOTHING | {"OT", "SC"}  # "other", and secondary capture, may show anything


def header_modality(facts: DicomFacts) -> str:
    """What a film is: `cxr`, `oct`, or its own kind, such as `dx-pelvis` or `ct`; empty where it is not said."""
    part = "" if facts.body_part in _SAYS_NOTHING else facts.body_part
    if facts.modality in _ANYTHING:
        return "" if not part or part in _CHEST | _EYE else f"ot-{part}".lower()
    if facts.modality in _RADIOGRAPHS and (not part or part in _CHEST):
        return "cxr"
    if facts.modality == "OPT" and (not part or part in _EYE):
        return "oct"
    named = facts.modality in _RADIOGRAPHS or facts.modality == "OPT"
    return f"{facts.modality}-{part}".lower() if named else facts.modality.lower()


def contradiction(facts: DicomFacts, modality: str) -> str:
    """Why a film does not belong in a set; empty where it does, or where its header does not say.

    Args:
        facts: of its header.
        modality: of the set; empty where that is not known.
    """
    own = header_modality(facts)
    if not own or not modality or own == modality:
        return ""
    stated = " ".join(value for value in (facts.modality, facts.body_part) if value)
    return f"{CONTRADICTION} (its header says {stated}, the set is of {modality})."
