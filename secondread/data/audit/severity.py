"""How bad a finding is: three words, one order."""

from __future__ import annotations

from collections.abc import Iterable

NONE, LOOK, SERIOUS = "none", "worth a look", "serious"
SEVERITIES = (NONE, LOOK, SERIOUS)


def worst(severities: Iterable[str]) -> str:
    """The worst of them; `none` where there are none."""
    return max(severities, key=SEVERITIES.index, default=NONE)


def reaches(severity: str, limit: str) -> bool:
    """Whether it is as bad as the limit, or worse. An empty limit is never reached."""
    return bool(limit) and SEVERITIES.index(severity) >= SEVERITIES.index(limit)
