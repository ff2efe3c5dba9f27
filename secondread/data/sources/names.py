"""A file's name as text that can be stored and printed, whatever bytes it is made of."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import PurePath

# control characters, halves of surrogate pairs, line and paragraph separators: each would break a line of a message
_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
_EXAMPLE = re.compile(r", such as '.*'")  # to the last quote, since a name may hold some

_hidden: ContextVar[bool] = ContextVar("examples_hidden", default=False)


def readable_name(name: str | PurePath) -> str:
    r"""The name in valid UTF-8 and on one line; what is neither is escaped with a backslash.

    A file system takes any bytes as a name: `M\xfcller.png` in Latin-1 is no UTF-8 and could not be written to Parquet,
    JSON or a terminal; a line break would make two lines of a message.

    Args:
        name: as the operating system gave it, bytes that are no UTF-8 as lone surrogates (PEP 383).
    """
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(
        character.encode("unicode_escape").decode() if unicodedata.category(character) in _UNPRINTABLE else character
        for character in text
    )


@contextmanager
def examples_hidden(hidden: bool) -> Iterator[None]:
    """Within the block sentences are shown without the file that they name as an example, if it is to be hidden."""
    before = _hidden.set(hidden)
    try:
        yield
    finally:
        _hidden.reset(before)


def shown(sentence: str) -> str:
    """A sentence of a source, such as of what it leaves out, for the log."""
    return _EXAMPLE.sub("", sentence) if _hidden.get() else sentence
