"""Text from data on a page: shown as it is, whatever marks are in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pandas as pd
import streamlit as st

from secondread.errors import SecondReadError

_MARKS = re.compile(r"([\\`*_{}\[\]()#+\-.!|~$:<>])")


def plain(text: str) -> str:
    """The text with all that Markdown would take for a mark escaped."""
    return _MARKS.sub(r"\\\1", text)


def plain_table(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the names of its rows and columns escaped."""
    return table.rename(index=lambda name: plain(str(name)), columns=lambda name: plain(str(name)))


@contextmanager
def explained() -> Iterator[None]:
    """Show an error that we foresaw as what it says; the rest of the page stays."""
    try:
        yield
    except SecondReadError as error:
        st.error(plain(" ".join(str(error).split())), icon=":material/error:")
