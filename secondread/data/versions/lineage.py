"""What a dataset version inherits from its parent: the split of every image and patient that the parent has.

A model of the parent learned from its train images and was judged on its test images. Its successor can be compared
with it only where no image changes sides.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from secondread.data.pixels.preprocess import Preprocessing
from secondread.data.versions.dataset import DatasetVersion
from secondread.data.versions.groups import group_ids, studies
from secondread.errors import InputError
from secondread.taxonomy import Taxonomy

NEW_BETWEEN_SPLITS = "new, and joins groups that the parent has in different splits"
OLD_BETWEEN_SPLITS = "belongs to a group that the parent has in a stricter split too"
_STRICTEST_FIRST = ("test", "final_eval", "val", "train")


@dataclass(frozen=True)
class Inheritance:
    """What is kept, and where it was.

    Attributes:
        rows: the rows that are kept, numbered afresh, with their `group_id`.
        splits: aligned with them: the split that the parent gave the group, empty for a new group.
        left_out: the rows that are not kept, with a `reason`.
    """

    rows: pd.DataFrame
    splits: pd.Series
    left_out: pd.DataFrame


def inherit(rows: pd.DataFrame, parent: DatasetVersion | None) -> Inheritance:
    """Form the groups, and give each the split that the parent has it in.

    A group is the parent's if it holds an image, a picture, a patient or a study of the parent. Where new knowledge (an
    image between two patients, a near duplicate) joins groups that the parent has in different splits, somebody would
    be on both sides. No image of the parent moves for that, test least of all. First the new images of such a group are
    left out: without them it mostly falls apart into what it was. If it does not, the parent itself has a leak; the
    images in the strictest split (test, then final_eval, val, train) stay, the others of that group are left out.

    Args:
        rows: columns `image_id`, `pixel_hash`, `patient_id`, perhaps `study_id` and `cluster_id`.
        parent: None: every group is new.
    """
    if parent is None:
        grouped = rows.assign(group_id=group_ids(rows)).reset_index(drop=True)
        nothing = rows.iloc[:0].assign(reason=pd.Series(dtype="string"))
        return Inheritance(grouped, pd.Series("", index=grouped.index, dtype="string"), nothing)
    known, torn = _known_splits(rows, parent.manifest)
    kept = rows.assign(group_id=group_ids(rows))
    old = kept["image_id"].isin(parent.manifest["image_id"])
    joins = (_between_splits(kept["group_id"], known) & ~old) | torn
    new_out = kept[joins].assign(reason=NEW_BETWEEN_SPLITS)
    kept = kept[~joins]
    kept = kept.assign(group_id=group_ids(kept))
    ranks = known.loc[kept.index].map(_rank)
    looser = _between_splits(kept["group_id"], known) & (ranks > _strictest(kept["group_id"], known))
    old_out = kept[looser].assign(reason=OLD_BETWEEN_SPLITS)
    kept = kept[~looser]
    kept = kept.assign(group_id=group_ids(kept))
    splits = _strictest(kept["group_id"], known).map(lambda rank: ([*_STRICTEST_FIRST, ""])[rank]).astype("string")
    out = pd.concat([new_out, old_out])
    return Inheritance(kept.reset_index(drop=True), splits.reset_index(drop=True), out)


def _known_splits(rows: pd.DataFrame, parent: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """The split of each row's image, else picture, else patient, else study in the parent; empty if it has none.

    And whether the row is torn: a new image whose picture is in one split and whose patient is in another.
    """
    rows, parent = (frame.assign(study_id=studies(frame)) for frame in (rows, parent))
    image, picture, patient, study = (
        rows[column]
        .map(parent[parent[column] != ""].drop_duplicates(column).set_index(column)["split"])
        .fillna("")
        .astype("string")
        for column in ("image_id", "pixel_hash", "patient_id", "study_id")
    )
    patient = patient.where(patient != "", study)
    torn = (image == "") & (picture != "") & (patient != "") & (picture != patient)
    return image.where(image != "", picture.where(picture != "", patient)), torn


def _rank(split: str) -> int:
    """0 is strictest; a row that the parent does not know has the last rank."""
    return _STRICTEST_FIRST.index(split) if split else len(_STRICTEST_FIRST)


def _strictest(groups: pd.Series, known: pd.Series) -> pd.Series:
    """Per row, the rank of the strictest split that its group has."""
    return known.loc[groups.index].map(_rank).groupby(groups).transform("min")


def _between_splits(groups: pd.Series, known: pd.Series) -> pd.Series:
    """Rows of a group that the parent has in more than one split."""
    return known.loc[groups.index].replace("", pd.NA).groupby(groups).transform("nunique") > 1


def child_taxonomy(taxonomy: Taxonomy, parent: DatasetVersion) -> Taxonomy:
    """The classes in the parent's order, new ones last, so that a class keeps its place in a model's output.

    Raises:
        InputError: a class of the parent is missing, or has another modality.
    """
    infos = {info.name: info for info in taxonomy.classes}
    lost = [name for name in parent.taxonomy.names if name not in infos]
    if lost:
        raise InputError(
            f"class {', '.join(lost)} of parent version {parent.name} has no image here, so models of the two could "
            "not be compared. Add its images, or make a version without a parent."
        )
    for info in parent.taxonomy.classes:
        if info.modality and infos[info.name].modality != info.modality:
            raise InputError(
                f"class '{info.name}' has modality '{infos[info.name].modality}', but '{info.modality}' in parent "
                f"version {parent.name}. Correct the modality, or make a version without a parent."
            )
    order = [*parent.taxonomy.names, *(name for name in taxonomy.names if name not in parent.taxonomy.names)]
    return Taxonomy(tuple(infos[name] for name in order))


def check_parent(parent: DatasetVersion, spec: Preprocessing, *, synthetic: bool) -> None:
    """Refuse a parent whose pixels came about in another way.

    Raises:
        InputError: other preprocessing, or phantoms beside real images.
    """
    if parent.preprocessing != spec:
        raise InputError(
            f"parent version {parent.name} has images of {parent.preprocessing}, not {spec}. "
            "Preprocess as the parent was, or name no parent."
        )
    if parent.synthetic != synthetic:
        kinds = ("real images", "phantoms")
        raise InputError(
            f"parent version {parent.name} is of {kinds[parent.synthetic]}, the new one of {kinds[synthetic]}. "
            "Name another parent, or none."
        )


def check_patients(rows: pd.DataFrame, patient_key: str, parent: DatasetVersion) -> None:
    """Refuse a parent whose patients could not be recognised: one of its test might come back in train.

    Keys are compared; and where images are in both, their patients: those have other ids too if one side was made of
    published ids, or if its list of sources told other patients apart. Where only one side has hashed ids, something
    must be in both.

    Args:
        rows: columns `image_id`, `patient_id`.
        patient_key: fingerprint of the key that these patient ids are hashed with; empty if none is.
        parent: the version to grow from.
    Raises:
        InputError: the patient ids came about in another way.
    """
    if patient_key and parent.patient_key and patient_key != parent.patient_key:
        raise InputError(
            f"patients of parent version {parent.name} are hashed with the key {parent.patient_key}, these with "
            f"{patient_key}, so none would be recognised. Ingest with that key (SECONDREAD_PATIENT_KEY_FILE), or name "
            "no parent."
        )
    ids = [frame[frame["patient_id"] != ""][["image_id", "patient_id"]] for frame in (rows, parent.manifest)]
    if patient_key != parent.patient_key and ids[0].size and ids[1].size and _nothing_shared(rows, parent.manifest):
        raise InputError(
            f"no image and no patient of parent version {parent.name} is here, and the patient ids of one are hashed, "
            "of the other published: no patient would be recognised. Ingest with the same --public-ids as then, add "
            "images of the parent, or name no parent."
        )
    both = ids[0].merge(ids[1], on="image_id")
    if len(both) and not (both["patient_id_x"] == both["patient_id_y"]).any():
        raise InputError(
            f"{len(both)} image(s) have other patient ids here than in parent version {parent.name}, so no patient of "
            "it would be recognised. Ingest with the same key, --public-ids and patients as then, or name no parent."
        )


def _nothing_shared(rows: pd.DataFrame, parent: pd.DataFrame) -> bool:
    known = parent["patient_id"][parent["patient_id"] != ""]
    return not (rows["image_id"].isin(parent["image_id"]) | rows["patient_id"].isin(known)).any()
