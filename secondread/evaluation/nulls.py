"""JSON has no NaN: what cannot be known is null there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def null_for_nan(value: Any) -> Any:
    """The same document with null for NaN and infinity, which JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): null_for_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [null_for_nan(item) for item in value]
    return value
