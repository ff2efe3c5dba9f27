"""Reads how a rollout is carried on from a `control.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from secondread.config.control import ControlConfig
from secondread.config.mapping import from_mapping
from secondread.rollout.document import read_mapping


def read_control(path: Path | str | None = None, settings: Mapping[str, Any] | None = None) -> ControlConfig:
    """Read it: a mapping of `ControlConfig`'s fields, of which what is not stated has its default.

    Args:
        path: of the file; None: there is none.
        settings: further ones, which go before those of the file.
    Raises:
        InputError: the file is missing, is no YAML mapping, or has a key or value that is no setting.
    """
    given = read_mapping(path, what="control file", example="interval_seconds: 30") if path else {}
    return from_mapping(ControlConfig, _over(given, settings or {}), stage="control")


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """One mapping over another, at any depth."""
    both = {key: below[key] for key in below.keys() & above.keys()}
    deep = {
        key: _over(each, above[key])
        for key, each in both.items()
        if isinstance(each, dict) and isinstance(above[key], dict)
    }
    return {**below, **above, **deep}
