"""From a mapping, such as a parsed JSON document, to a typed configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from secondread.config.require import require
from secondread.errors import InputError

T = TypeVar("T")


def from_mapping(kind: type[T], values: Mapping[str, Any], *, stage: str | None = None) -> T:
    """Make a configuration from a mapping, such as a parsed JSON document.

    Args:
        kind: the configuration's class.
        values: by field; of a field that is a configuration itself, a mapping of its own.
        stage: before the settings' names in errors, as people gave them: `preprocess.image_size`. By default what the
            class is called after; empty where people name the setting alone.
    Raises:
        InputError: a key is no field of that configuration, or a value is of another type or refused.
    """
    stage = kind.__name__.removesuffix("Config").lower() if stage is None else stage
    prefix = f"{stage}." if stage else ""
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    unknown = ", ".join(sorted(set(values) - known))
    require(not unknown, f"{stage or 'this'} has no setting {unknown}. It has {', '.join(sorted(known))}.")
    hints = get_type_hints(kind)
    typed = {name: _typed(value, hints[name], f"{prefix}{name}") for name, value in values.items()}
    try:
        return kind(**typed)
    except InputError as error:
        refused = str(error).partition(" ")[0]
        raise InputError(f"{prefix if refused in known else ''}{error}") from error


def _typed(value: Any, hint: Any, name: str) -> Any:
    """The value in the field's own type: JSON has lists for tuples, and a pipeline's parameters have 12.0 for 12.

    Raises:
        InputError: the value is of another type, or infinite or not a number, as JSON's `Infinity` and `NaN` are.
    """
    if isinstance(value, float):
        require(math.isfinite(value), f"{name} must be a finite number, not {value}.")
    if is_dataclass(hint) and isinstance(hint, type) and not isinstance(value, hint):
        require(isinstance(value, Mapping), f"{name} must be a mapping of settings, not {value!r}: set {name}.FIELD.")
        return from_mapping(hint, value, stage=name)
    if get_origin(hint) is tuple:
        require(isinstance(value, list | tuple), f"{name} must be a list, not {value!r}.")
        return tuple(_typed(item, get_args(hint)[0], name) for item in value)
    if hint is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint in (int, float, str, bool):
        right = isinstance(value, hint) and (hint is bool or not isinstance(value, bool))
        require(right, f"{name} must be of type {hint.__name__}, not {value!r}.")
    return value
