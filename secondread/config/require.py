"""Refusing a setting, with what it may be."""

from __future__ import annotations

from secondread.errors import InputError


def require(condition: bool, message: str) -> None:
    """Refuse a setting.

    Raises:
        InputError: with `message`, when `condition` does not hold.
    """
    if not condition:
        raise InputError(message)


def require_seed(name: str, seed: int) -> None:
    """Refuse a seed that some generator would not take; the narrowest takes 32 bits.

    Raises:
        InputError: it is out of range.
    """
    require(0 <= seed < 2**32, f"{name} must be from 0 to {2**32 - 1}, not {seed}.")
