"""Reads how a rollout is carried on from a `control.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from secondread.config.control import ControlConfig
from secondread.config.document import over, read_mapping
from secondread.config.mapping import from_mapping


def read_control(path: Path | str | None = None, settings: Mapping[str, Any] | None = None) -> ControlConfig:
    """Read it: a mapping of `ControlConfig`'s fields, of which what is not stated has its default.

    Args:
        path: of the file; None: there is none.
        settings: further ones, which go before those of the file.
    Raises:
        InputError: the file is missing, is no YAML mapping, or has a key or value that is no setting.
    """
    given = read_mapping(path, what="control file", example="interval_seconds: 30") if path else {}
    return from_mapping(ControlConfig, over(given, settings or {}), stage="control")
