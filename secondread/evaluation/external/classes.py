"""A set's own classes beside the model's: which of its images can be judged, and which the model has no class for.

    map: {NORMAL: cxr-normal, bacterial: cxr-pneumonia, viral: cxr-pneumonia}
    leave_out: [hernia]

A class goes to the one that the file names, else to the model's class of its own name. What goes to none is in no
figure, and reported apart: see `secondread.evaluation.external.apart`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from secondread.config.document import read_document
from secondread.config.external_classes import ExternalClassesConfig, external_classes_from
from secondread.errors import InputError
from secondread.evaluation.labelled_images import LabelledImages
from secondread.logging import get_logger

NO_SUCH_CLASS, AS_ASKED = "the model has no such class", "left out as asked"

log = get_logger(__name__)


@dataclass(frozen=True)
class Matched:
    """A set, divided into what the model has a class for and the rest.

    Attributes:
        judged: images with the model's classes.
        apart: the other images, with their own classes; may be none.
        names: class of the set to that of the model, of the classes of `judged` that have an image.
        reasons: why a class is apart, by its name; of those that have an image.
    """

    judged: LabelledImages
    apart: LabelledImages
    names: Mapping[str, str]
    reasons: Mapping[str, str]


def read_external_classes(path: Path | str) -> ExternalClassesConfig:
    """Read a file as this module's docstring shows.

    Raises:
        InputError: the file is missing, is no YAML, or holds what is no setting.
    """
    document = read_document(path, what="classes")
    try:
        return external_classes_from(document)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def match_classes(
    data: LabelledImages, known: Sequence[str], config: ExternalClassesConfig | None = None, *, model: str
) -> Matched:
    """Divide a set by whether the model has a class for its images.

    Args:
        data: the set.
        known: the model's classes.
        config: which class is which, where the names differ.
        model: the model's name, for messages.
    Raises:
        InputError: the map names a class that the set or the model does not have, or leaves no image.
    """
    config = config or ExternalClassesConfig()
    _check(config, data, known, model)
    goes = {name: config.map.get(name, name) for name in data.classes if name not in config.leave_out}
    goes = {name: to for name, to in goes.items() if to in known}
    position = np.array([known.index(goes[name]) if name in goes else -1 for name in data.classes], dtype=np.int64)
    labels = position[data.labels]
    there = [data.classes[index] for index in np.unique(data.labels)]
    reasons = {name: AS_ASKED if name in config.leave_out else NO_SUCH_CLASS for name in there if name not in goes}
    if len(labels) and (labels < 0).all():
        raise InputError(
            f"no image of {data.name} is of a class of model '{model}' ({', '.join(known)}): its classes are "
            f"{', '.join(there)}. Say which is which in a file for --classes, such as "
            f"'map: {{{there[0]}: {(_close(there[0], known) or list(known))[0]}}}'."
        )
    for name, reason in reasons.items():
        count = int((data.labels == data.classes.index(name)).sum())
        hint = _did_you_mean(name, known) if reason == NO_SUCH_CLASS else ""
        log.warning("%d images of '%s' are in no figure and reported apart: %s.%s", count, name, reason, hint)
    judged = data.take(labels >= 0)
    return Matched(
        judged=replace(judged, labels=labels[labels >= 0], classes=tuple(known)),
        apart=data.take(labels < 0),
        names={name: goes[name] for name in there if name in goes},
        reasons=reasons,
    )


def _check(config: ExternalClassesConfig, data: LabelledImages, known: Sequence[str], model: str) -> None:
    """Names that are nowhere are mistakes of writing."""
    _known(config.map, data.classes, f"map names '{{}}', which is no class of {data.name}")
    _known(config.leave_out, data.classes, f"leave_out names '{{}}', which is no class of {data.name}")
    _known(config.map.values(), known, f"map names '{{}}', which is no class of model '{model}'")


def _known(names: Iterable[str], among: Sequence[str], says: str) -> None:
    for name in names:
        if name not in among:
            raise InputError(f"{says.format(name)} ({', '.join(among)}).{_did_you_mean(name, among)}")


def _did_you_mean(name: str, among: Sequence[str]) -> str:
    close = [f"'{each}'" for each in _close(name, among)]
    return f" Did you mean {' or '.join(close)}?" if close else ""


def _close(name: str, among: Sequence[str]) -> list[str]:
    """Names that look like this one, whatever their case; the closest first."""
    lower = {each.lower(): each for each in among}
    return [lower[each] for each in get_close_matches(name.lower(), lower, n=2)]
