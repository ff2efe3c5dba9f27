"""Refusing a setting, with what it may be."""

from __future__ import annotations

from urllib.parse import urlsplit

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


def require_http(name: str, url: str, *, secret: bool = False) -> None:
    """Refuse what is no address of an HTTP server; empty is none, and is taken.

    Args:
        name: of the setting.
        url: that it has.
        secret: whether the address must not be said.
    Raises:
        InputError: another scheme, no host, a port that is none, a user, or characters that no address has.
    """
    if url:
        said = "" if secret else f", not '{url}'"
        what = "http://host:port or https://host:port, the port a number from 1 to 65535 or left out, and no user"
        require(_is_http(url), f"{name} must be {what}{said}.")


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    plain = url.isascii() and url.isprintable() and " " not in url
    return (
        plain and parts.scheme in ("http", "https") and bool(parts.hostname) and port != 0 and "@" not in parts.netloc
    )
