"""Shortcuts: can the label be told from what must not tell it? Measured, with an interval, a sentence and pictures.

A network takes the easiest road. Where the covid films come from one scanner and the normal ones from another, it
learns the scanner, and its accuracy says nothing of illness (DeGrave et al. 2021; Maguolo & Nanni 2021). So a small
classifier is given nothing but, say, the border pixels; what it reaches on patients that it has not seen, a network can
reach without a look at the lungs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from secondread.config.audit import AuditConfig
from secondread.data.audit.counts import NOT_KNOWN
from secondread.data.audit.features import TRAITS, Trait, trait_features
from secondread.data.audit.separability import Labels, Separability, measure
from secondread.data.audit.severity import LOOK, NONE, SERIOUS
from secondread.data.audit.subject import Subject
from secondread.progress import track

_LONGEST = 48  # characters of a value that is shown


@dataclass(frozen=True)
class Shortcut:
    """What one trait gives away.

    Attributes:
        name: of the trait.
        modality: of the classes that were told apart.
        severity: by the rule of `AuditConfig`.
        value, low, high: balanced accuracy, and its interval.
        chance: of guessing.
        images, classes: that it was measured on.
        sentence: for people.
        by_class: what is typical of each class.
        shown: positions of the images, by class, that it was surest of; empty where the trait is not seen in pixels.
    """

    name: str
    modality: str
    severity: str
    value: float
    low: float
    high: float
    chance: float
    images: int
    classes: tuple[str, ...]
    sentence: str
    by_class: dict[str, str]
    shown: dict[str, list[int]]


def find_shortcuts(subject: Subject, config: AuditConfig) -> tuple[list[Shortcut], list[str]]:
    """Measure every trait, in each modality by itself: that an OCT scan is no film is no shortcut.

    Returns:
        The shortcuts, the worst first, and a sentence for each thing that could not be measured.
    """
    found: list[Shortcut] = []
    notes: list[str] = []
    modalities = sorted({info.modality for info in subject.taxonomy.classes})
    for modality in modalities:
        classes = [info.name for info in subject.taxonomy.classes if info.modality == modality]
        groups = subject.rows[subject.rows["label"].isin(classes)].groupby("label")["group_id"].nunique()
        enough = sorted(groups[groups >= config.min_groups_per_class].index)
        few = sorted(set(classes) - set(enough))
        if few:
            notes.append(
                f"left out of the shortcuts, with fewer than {config.min_groups_per_class} groups: {', '.join(few)}."
            )
        if len(enough) < 2:
            notes.append(
                f"no shortcuts were measured in modality '{modality}': it has no two classes that are large enough."
            )
            continue
        found.extend(_of_classes(subject, tuple(enough), modality, config))
    # how far from chance to certainty, so that sets with few and with many classes compare
    return sorted(found, key=lambda item: -(item.low - item.chance) / (1 - item.chance)), notes


def _of_classes(subject: Subject, classes: tuple[str, ...], modality: str, config: AuditConfig) -> Iterator[Shortcut]:
    positions = _sample(subject.rows, classes, config)
    rows = subject.rows.iloc[positions]
    labels: Labels = np.asarray(rows["label"].map({name: at for at, name in enumerate(classes)}), np.int64)
    groups: Labels = np.asarray(pd.factorize(rows["group_id"], sort=True)[0], np.int64)
    tables = trait_features(subject.rows, subject.read, positions)
    measured = [trait for trait in TRAITS if trait.name in tables]
    for trait in track(measured, f"measuring shortcuts in {modality}", total=len(measured)):
        result = measure(tables[trait.name], labels, groups, config)
        severity = _severity(result, config)
        shown = _surest(result, labels, positions, classes, config) if trait.pixels else {}
        yield Shortcut(
            trait.name,
            modality,
            severity,
            result.value,
            result.low,
            result.high,
            result.chance,
            len(positions),
            classes,
            _sentence(trait, result, severity),
            {name: _typical(trait.name, rows[rows["label"] == name]) for name in classes} if not trait.pixels else {},
            shown,
        )


def _sample(rows: pd.DataFrame, classes: tuple[str, ...], config: AuditConfig) -> npt.NDArray[np.intp]:
    """Positions of the images that are looked at, in order: all, or as many of each class as it has a share in.

    Of every class its first images of a random order are taken, and at least `min_groups_per_class` groups of it.
    """
    rng = np.random.default_rng(config.seed)
    position = np.arange(len(rows))
    of_class = [rng.permutation(position[(rows["label"] == name).to_numpy()]) for name in classes]
    share = min(1.0, config.sample_images / sum(map(len, of_class)))
    group = rows["group_id"].to_numpy(object)
    chosen = []
    for members in of_class:
        _, first = np.unique(group[members], return_index=True)
        least = int(np.sort(first)[config.min_groups_per_class - 1]) + 1
        chosen.append(members[: max(least, round(share * len(members)))])
    return np.sort(np.concatenate(chosen))


def _severity(result: Separability, config: AuditConfig) -> str:
    surely = (result.low - result.chance) / (1 - result.chance)
    return SERIOUS if surely >= config.serious_from else LOOK if surely >= config.worth_a_look_from else NONE


def _sentence(trait: Trait, result: Separability, severity: str) -> str:
    tell = "tell" if trait.plural else "tells"
    verb = {SERIOUS: "the label", LOOK: "something of the label", NONE: "next to nothing of the label"}
    return (
        f"{trait.title} alone {tell} {verb[severity]}: balanced accuracy {result.value:.2f} "
        f"({result.low:.2f} to {result.high:.2f}) where chance is {result.chance:.2f}"
    )


def _surest(
    result: Separability,
    labels: Labels,
    positions: npt.NDArray[np.intp],
    classes: tuple[str, ...],
    config: AuditConfig,
) -> dict[str, list[int]]:
    shown = {}
    for number, name in enumerate(classes):
        members = np.flatnonzero(labels == number)
        order = members[np.argsort(-result.certainty[members], kind="stable")]
        shown[name] = [int(positions[member]) for member in order[: config.shown_images]]
    return shown


def _typical(trait: str, rows: pd.DataFrame) -> str:
    """What the images of one class have: the commonest values, or the middle of the range."""
    if trait == "age":
        known = rows["age"].dropna()
        if known.empty:
            return NOT_KNOWN
        low, middle, high = known.quantile([0.1, 0.5, 0.9])
        return f"{middle:.0f} years ({low:.0f} to {high:.0f}), {NOT_KNOWN} of {1 - len(known) / len(rows):.0%}"
    if trait == "image_size":
        values = [f"{width} x {height}" for width, height in zip(rows["width"], rows["height"], strict=True)]
    elif trait == "file_kind":
        values = [str(path).rsplit(".", 1)[-1] for path in rows["path"]]
    else:
        values = [str(value) or NOT_KNOWN for value in rows[trait]]
    return ", ".join(f"{_short(value)} {count / len(rows):.0%}" for value, count in Counter(values).most_common(3))


def _short(value: str) -> str:
    return value if len(value) <= _LONGEST else value[: _LONGEST - 1] + "…"
