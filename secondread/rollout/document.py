"""Reads a mapping of settings from a YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from secondread.errors import InputError


def over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """One mapping over another, at any depth."""
    both = {key: below[key] for key in below.keys() & above.keys()}
    deep = {
        key: over(each, above[key])
        for key, each in both.items()
        if isinstance(each, dict) and isinstance(above[key], dict)
    }
    return {**below, **above, **deep}


def read_mapping(path: Path | str, *, what: str, example: str) -> dict[str, Any]:
    """Read one; an empty file is an empty mapping.

    Args:
        path: of the file.
        what: it is, for errors, such as "rollout policy".
        example: of a line in it.
    Raises:
        InputError: the file is missing, or is no YAML mapping.
    """
    try:
        document: Any = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read the {what} {path}: {error.strerror}. Name a YAML file.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"the {what} {path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict | None):
        raise InputError(f"the {what} {path} must map settings to values, such as '{example}'.")
    return document or {}
