"""What a source of labelled images gives, whatever it is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from secondread.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)  # a hundred thousand are held at a time
class SourceImage:
    """One labelled image, its bytes not read yet.

    Attributes:
        name: path inside the source, for messages and for the record of what was left out.
        label: class name.
        read: gives the encoded bytes (JPEG, PNG or DICOM).
        patient_id: as the source has it; empty where it is not known.
        age: years.
        acquired_at: ISO 8601, empty where it is not known.
        patients: who gave the patient id, where others gave the same one to other people; it stands before it already.
        public_ids: its patient id is published, although the source as a whole is not public (one of several merged).
        body_part, laterality: codes of DICOM such as CHEST and R; empty where they are not known.
        burnt_in: YES or NO, where the header says whether there is text in the picture.
        unfit: why the image does not belong in its set, by its own header; empty where it does.
        original_split: as the publisher dealt it, empty where there is none; the audit compares, nothing trains by it.
    """

    name: str
    label: str
    read: Callable[[], bytes]
    patient_id: str = ""
    study_id: str = ""
    modality: str = ""
    source: str = ""
    site: str = ""
    license: str = ""
    sex: str = ""
    age: float | None = None
    view: str = ""
    acquired_at: str = ""
    original_split: str = ""
    body_part: str = ""
    laterality: str = ""
    burnt_in: str = ""
    unfit: str = ""
    patients: str = ""
    public_ids: bool = False


def own_patient(patients: str, patient_id: str) -> str:
    """The patient id with who gave it before it; empty stays empty, since that means not known."""
    return f"{patients}/{patient_id}" if patients and patient_id else patient_id


class Source(Protocol):
    """A place that labelled images come from.

    Attributes:
        uri: as the user gave it.
        public: patient ids are published or made up, so that they need no hashing.
        synthetic: the images are generated.
    """

    uri: str
    public: bool
    synthetic: bool

    def taxonomy(self) -> Taxonomy:
        """The classes, in order."""
        ...

    def images(self) -> Iterator[SourceImage]:
        """Every image, in a stable order."""
        ...

    def fingerprint(self) -> str:
        """A hash, hex, that changes whenever any image or label does."""
        ...
