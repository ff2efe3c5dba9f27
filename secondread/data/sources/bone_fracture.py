"""Bone Fracture Detection: films of arm and shoulder in published splits, with boxes in YOLO's format.

    BoneFractureYolo8/data.yaml                                   names: [elbow positive, fingers positive, ...]
    BoneFractureYolo8/train/images/image1_100_png.rf.<hash>.jpg
    BoneFractureYolo8/train/labels/image1_100_png.rf.<hash>.txt   one box a line: class x y width height

The class of a film is that of its boxes. One with boxes of several classes is left out and counted, as is one without a
label file; an empty label file says that nothing is broken.

Licence: CC BY 4.0, as its page states it. Cite Darabi, Bone Fracture Detection: A Computer Vision Project, Kaggle 2024,
10.13140/RG.2.2.14400.34569. To be had from Kaggle, with an account there.

Traps: the training part holds each film several times, turned and brightened, told apart by the hash after `.rf.`. The
patient is not known; the film that they were made of stands in for it, so that its copies stay together.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from secondread.data.sources.names import readable_name
from secondread.data.sources.published import Layout, Listing, Publication
from secondread.data.sources.tree import pictures
from secondread.errors import InputError

PUBLICATION = Publication(
    name="bone-fracture",
    title="Bone Fracture Detection (Darabi)",
    modality="bone",
    license="CC BY 4.0",
    citation="Darabi, Bone Fracture Detection: A Computer Vision Project, Kaggle (2024)",
    page="https://www.kaggle.com/datasets/pkdarabi/bone-fracture-detection-computer-vision-project",
    kaggle="pkdarabi/bone-fracture-detection-computer-vision-project",
    size="about 0.1 GB",
    images=4_148,
)
CLASSES = {
    "elbow positive": "bone-fracture-elbow",
    "fingers positive": "bone-fracture-fingers",
    "forearm fracture": "bone-fracture-forearm",
    "humerus fracture": "bone-fracture-humerus",
    "humerus": "bone-fracture-humerus",
    "shoulder fracture": "bone-fracture-shoulder",
    "wrist positive": "bone-fracture-wrist",
}
NONE_BROKEN = "bone-no-fracture"
SPLITS = {"train": "train", "valid": "val", "test": "test"}

_MAX_YAML_BYTES = 1 << 20


def fits(folder: Path) -> bool:
    """Whether images, labels and the list of class names are there, and the names are of fractures."""
    parts = all((folder / "train" / name).is_dir() for name in ("images", "labels"))
    return parts and (folder / "data.yaml").is_file() and b"humerus" in _yaml(folder / "data.yaml")


def read(root: Path) -> Listing:
    """Every film by what its boxes mark."""
    listing, names = Listing(), _names(root / "data.yaml")
    for folder, split in SPLITS.items():
        for path in pictures(root / folder / "images"):
            label, reason = _label(root / folder / "labels" / f"{path.stem}.txt", names)
            if reason:
                listing.leave_out(reason, f"{folder}/{path.name}")
                continue
            origin = f"bonefracture-{path.stem.partition('.rf.')[0]}"
            listing.add(path, label, patient_id=origin, original_split=split)
    return listing


def _names(path: Path) -> Mapping[int, str]:
    """Our class by the number in the label files."""
    try:
        document = yaml.safe_load(_yaml(path))
        names = document["names"]
        named = dict(names) if isinstance(names, dict) else dict(enumerate(names))
        return {int(number): _ours(str(name), path) for number, name in named.items()}
    except (yaml.YAMLError, RecursionError, TypeError, KeyError, ValueError) as error:
        raise InputError(f"{path} has no list 'names' of classes. Download it again.") from error


def _yaml(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MAX_YAML_BYTES)


def _ours(name: str, path: Path) -> str:
    if name.lower() not in CLASSES:
        raise InputError(
            f"{path}: '{readable_name(name)}' is none of the classes {', '.join(CLASSES)}. Is it of this dataset?"
        )
    return CLASSES[name.lower()]


def _label(path: Path, names: Mapping[int, str]) -> tuple[str, str]:
    """Our class, or else why there is none."""
    if not path.is_file():
        return "", "film(s) without a label file"
    numbers = {
        line.split()[0] for line in path.read_text(encoding="ascii", errors="replace").splitlines() if line.strip()
    }
    found = {names.get(int(number)) if number.isascii() and number.isdigit() else None for number in numbers}
    if None in found:
        return "", "film(s) with a label that is no number of a class"
    labels = sorted(label for label in found if label)
    if len(labels) > 1:
        return "", "film(s) with fractures of several classes"
    return labels[0] if labels else NONE_BROKEN, ""


LAYOUT = Layout(PUBLICATION, fits, read)
