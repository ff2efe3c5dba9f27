"""What was asked for, when and by which code: what a run in MLflow tells beside what was found."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


def _now() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Asked:
    """An evaluation or a quantization that begins now. As JSON it can be kept, so that the same run is told of again.

    Attributes:
        dataset_version: content hash of the version that the images are of; empty of a set from elsewhere.
        settings: by name, as text.
        tags: such as the code's revision.
        key: of the run.
        start: milliseconds since 1970.
    """

    dataset_version: str
    settings: Mapping[str, str]
    tags: Mapping[str, str]
    key: str = field(default_factory=lambda: uuid.uuid4().hex)
    start: int = field(default_factory=_now)


def flat(settings: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """Settings as text, those within others by their path: `evaluate.risk_dial.accepted`; without those that are None.

    Args:
        settings: by stage.
        before: of the names.
    """
    return dict(_flat(settings, before))


def _flat(settings: Mapping[str, Any], before: str) -> Iterator[tuple[str, str]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        elif value is not None:
            yield f"{before}{name}", str(value)
