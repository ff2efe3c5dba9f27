"""What leaves the header of a DICOM file: a fixed list of facts. Names, dates, places and free text are not read.

DICOM PS3.3: C.7.1.1 patient, C.7.2.2 patient study, C.7.3.1 series, C.7.6.1 image, C.8.11.1 view. PS3.5, 6.2: ages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import BinaryIO

from secondread.data.pixels.dicom_file import open_dicom, reading

_TAGS = (
    *("PatientID", "StudyInstanceUID", "SOPInstanceUID", "PatientSex", "PatientAge", "ViewPosition", "Modality"),
    *("BodyPartExamined", "Laterality", "ImageLaterality", "BurnedInAnnotation", "NumberOfFrames"),
    "SpecificCharacterSet",
)
# closed lists: a name that somebody typed into one of these fields goes no further
OTHER = "OTHER"
_SEXES = frozenset({"M", "F", "O"})
_SIDES = {"R": "R", "L": "L", "B": "B", "U": "U", "RIGHT": "R", "LEFT": "L", "BOTH": "B"}
_VIEWS = "AP PA LL RL RLD LLD RLO LLO LAT LATERAL LPO RPO LAO RAO CC MLO OBL"
_MODALITIES = """
CR DX DR RG RF XA MG PX IO CT MR US NM PT OT SC OPT OP OPV OPM OPTENF OPTBSV OAM OCT IVOCT IVUS ES XC GM SM DOC
SR PR KO SEG BMD ECG EEG RTIMAGE RTDOSE RTSTRUCT
"""
_BODY_PARTS = """
ABDOMEN ANKLE ARM BACK BLADDER BRAIN BREAST CALCANEUS CHEST CHESTABDOMEN CHESTABDPELVIS CHEST_ABDOMEN CLAVICLE
COCCYX CSPINE CTSPINE ELBOW EXTREMITY EYE FACE FEMUR FINGER FOOT FOREARM HAND HEAD HEADNECK HEART HEEL HIP
HUMERUS JAW KNEE LEG LSPINE LSSPINE LUNG LUNGS LUMBAR_SPINE MANDIBLE MAXILLA NECK NOSE ORBIT PATELLA PELVIS
RETINA RIB RIBS RIBCAGE SACRUM SCAPULA SHOULDER SINUS SKULL SPINE SSPINE STERNUM THIGH THORAX THUMB TLSPINE TOE
TSPINE WHOLEBODY WRIST ZYGOMA
"""
_YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
_AGE = re.compile(r"(\d{1,3})([YMWD])")


@dataclass(frozen=True)
class DicomFacts:
    """Facts of one file; empty where the header does not say, or says what the standard does not allow.

    Attributes:
        patient_id, study_id: as the file has them; they leave ingest only hashed.
        instance_id: of the file.
        sex: M, F or O.
        age: years.
        view: such as PA, AP or LL; OTHER for what is not on our list, so too the next two.
        modality: such as DX or OPT.
        body_part: such as CHEST.
        laterality: R, L, B (both) or U (unpaired).
        burnt_in: YES or NO, as whoever made the file says.
        frames: how many pictures are in it.
    """

    patient_id: str = ""
    study_id: str = ""
    instance_id: str = ""
    sex: str = ""
    age: float | None = None
    view: str = ""
    modality: str = ""
    body_part: str = ""
    laterality: str = ""
    burnt_in: str = ""
    frames: int = 1


def dicom_facts(data: bytes | BinaryIO, *, max_bytes: int) -> DicomFacts:
    """Read the header of a file.

    Args:
        data: its bytes, or the open file, of which little more than the header is read.
        max_bytes: that a deflated one may inflate to.
    Raises:
        ImageError: damaged.
        TooLargeError: it would inflate to more than `max_bytes`.
    """
    header = open_dicom(data, max_bytes=max_bytes, stop_before_pixels=True, specific_tags=list(_TAGS))
    with reading("header"):
        text = {tag: str(header.get(tag) or "").strip() for tag in _TAGS}
    code = {tag: value.upper() for tag, value in text.items()}
    return DicomFacts(
        patient_id=text["PatientID"],
        study_id=text["StudyInstanceUID"],
        instance_id=text["SOPInstanceUID"],
        sex=code["PatientSex"] if code["PatientSex"] in _SEXES else "",
        age=age_years(text["PatientAge"]),
        view=_listed(code["ViewPosition"], _VIEWS),
        modality=_listed(code["Modality"], _MODALITIES),
        body_part=_listed(code["BodyPartExamined"].replace(" ", "_"), _BODY_PARTS),
        laterality=_SIDES.get(code["ImageLaterality"] or code["Laterality"], ""),
        burnt_in=code["BurnedInAnnotation"] if code["BurnedInAnnotation"] in ("YES", "NO") else "",
        frames=frame_count(text["NumberOfFrames"]),
    )


def _listed(value: str, known: str) -> str:
    return value if value in known.split() or not value else OTHER


def age_years(text: str) -> float | None:
    """Years, from `045Y`, `006M`, `012W` or `030D`."""
    match = _AGE.fullmatch(text)
    return int(match[1]) * _YEARS[match[2]] if match else None


def frame_count(text: str) -> int:
    """Frames of a file, 1 where its header does not say."""
    return max(1, int(text)) if text.isdigit() and len(text) < 8 else 1
