"""A film that a model once read wrongly: the `case.yaml` beside its image."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from secondread.config.changes import Change, change_from
from secondread.config.mapping import from_mapping
from secondread.config.require import require, require_seed


@dataclass(frozen=True)
class PhantomFilm:
    """What draws a phantom, so that nothing real need be kept."""

    label: str  # class that is drawn, such as cxr-normal
    seed: int = 0  # of patient, findings and noise
    with_finding: bool = True  # False draws the same patient healthy
    size: int = 128  # pixels of both sides; as phantom sources draw them

    def __post_init__(self) -> None:
        require_seed("seed", self.seed)
        require(32 <= self.size <= 1024, f"size must be from 32 to 1024 pixels, not {self.size}.")


@dataclass(frozen=True, kw_only=True)
class KnownFailureConfig:
    """One known failure."""

    sentence: str  # what went wrong, for people
    label: str  # the true class
    since: datetime.date  # when it was found
    phantom: PhantomFilm | None = None  # in place of an image
    change: Change | None = None  # done to the image or phantom

    def __post_init__(self) -> None:
        require(bool(self.sentence.strip()), "sentence is empty: say in one sentence what went wrong.")
        require(bool(self.label), "label is empty: name the true class.")
        is_date = type(self.since) is datetime.date
        require(is_date, f"since must be a date such as 2026-11-20, not {self.since!r}.")


def known_failure_from(document: Any) -> KnownFailureConfig:
    """Make a known failure from a parsed `case.yaml`.

    Raises:
        InputError: a key is not known or missing, or a value refused.
    """
    require(isinstance(document, Mapping), "it must map sentence, label and since to what they are.")
    missing = [name for name in ("sentence", "label", "since") if document.get(name) is None]
    require(not missing, f"it lacks {', '.join(missing)}.")
    made: dict[str, Any] = {}
    if (phantom := document.get("phantom")) is not None:
        stated = isinstance(phantom, Mapping) and "label" in phantom
        require(stated, "phantom must be a mapping with the label that is drawn, such as {label: cxr-normal, seed: 3}.")
        made["phantom"] = from_mapping(PhantomFilm, phantom, stage="phantom")
    if document.get("change") is not None:
        made["change"] = change_from(document["change"], stage="change")
    return from_mapping(KnownFailureConfig, {**document, **made}, stage="")
