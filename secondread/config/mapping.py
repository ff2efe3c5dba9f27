"""From a mapping, such as a parsed JSON document, to a typed configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from secondread.config.require import require

T = TypeVar("T")


def from_mapping(kind: type[T], values: Mapping[str, Any]) -> T:
    """Make a configuration from a mapping, such as a parsed JSON document.

    Raises:
        InputError: a key is no field of that configuration, or a value is of another type or refused.
    """
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - known)
    require(not unknown, f"{kind.__name__} has no setting {', '.join(unknown)}. It has {', '.join(sorted(known))}.")
    hints = get_type_hints(kind)
    return kind(**{name: _typed(value, hints[name], f"{kind.__name__}.{name}") for name, value in values.items()})


def _typed(value: Any, hint: Any, name: str) -> Any:
    """The value in the field's own type: JSON has lists for tuples, and a pipeline's parameters have 12.0 for 12.

    Raises:
        InputError: the value is of another type.
    """
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
