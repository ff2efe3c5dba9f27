"""One thing that the audit looked for, and what it found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for.

    Attributes:
        name: stable, for machines.
        title: for people.
        severity: `none` where nothing was found.
        count: of what the sentence counts; 0 where nothing was found.
        sentence: what was found.
        shown: positions of images that show it.
    """

    name: str
    title: str
    severity: str
    count: int
    sentence: str
    shown: tuple[int, ...] = ()
