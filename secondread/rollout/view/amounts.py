"""Times and shares as people read them, and text from outside as one line."""

from __future__ import annotations

from datetime import UTC, datetime

UNKNOWN = "not known"
_UNITS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))


def duration(seconds: float) -> str:
    """Such as `2 h 35 min`: the largest unit and the next one, rounded; under ten minutes to seconds."""
    rest = round(max(0.0, seconds))
    if rest >= 600:
        rest = 60 * round(rest / 60)
    at = next((at for at, (_, size) in enumerate(_UNITS) if rest >= size), len(_UNITS) - 1)
    parts: list[str] = []
    for name, size in _UNITS[at : at + 2]:
        count, rest = divmod(rest, size)
        if count or not parts:
            parts.append(f"{count} {name}")
    return " ".join(parts)


def clock(at: float) -> str:
    """Time of day, UTC, of seconds since 1970."""
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S}"


def moment(at: float) -> str:
    """Day and time, UTC, of seconds since 1970."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"


def share(part: float | None, total: float | None) -> str:
    """A part of a total in percent; of nothing it is not known."""
    return UNKNOWN if part is None or not total else f"{part / total:.2%}".replace("%", " %")


def count(number: float | None) -> str:
    """A number of things."""
    return UNKNOWN if number is None else f"{number:,.0f}"


def one_line(text: str) -> str:
    """Text from outside, that may neither break a line nor speak to a terminal."""
    return "".join(each if each.isprintable() else "�" for each in " ".join(text.split()))
