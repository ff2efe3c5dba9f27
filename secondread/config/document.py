"""Reads what people write as YAML: a policy, a map of classes, tests of a model."""

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


def read_document(path: Path | str, *, what: str) -> Any:
    """Read a file of YAML; of an empty one, None.

    Args:
        path: of the file.
        what: it is, for errors, such as "rollout policy".
    Raises:
        InputError: the file is missing, or is no YAML.
    """
    try:
        return yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read the {what} {path}: {error.strerror}. Name a YAML file.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the {what} {path}, which is no YAML: {' '.join(str(error).split())}") from error


def read_mapping(path: Path | str, *, what: str, example: str) -> dict[str, Any]:
    """Read a mapping of settings; an empty file is an empty one.

    Args:
        path: of the file.
        what: it is, for errors, such as "rollout policy".
        example: of a line in it.
    Raises:
        InputError: the file is missing, or is no YAML mapping.
    """
    document = read_document(path, what=what)
    if not isinstance(document, dict | None):
        raise InputError(f"the {what} {path} must map settings to values, such as '{example}'.")
    return document or {}
