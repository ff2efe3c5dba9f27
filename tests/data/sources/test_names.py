"""Names of files as text: unchanged where they can be, escaped where they cannot."""

import os
from pathlib import Path

import pytest

from secondread.data.sources.names import readable_name


@pytest.mark.parametrize("name", ["a/b.png", "Müller.png", "肺/1.png", "with blank.png", "100%.png", ""])
def test_a_name_in_utf8_stays_as_it_is(name: str) -> None:
    assert readable_name(name) == name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"M\xfcller.png", r"M\xfcller.png"),
        (b"two\nlines.png", r"two\nlines.png"),
        (b"\x1b[31mred", r"\x1b[31mred"),
        ("a\u2028b".encode(), r"a\u2028b"),
    ],
)
def test_any_other_name_becomes_one_line_of_utf8(name: bytes, shown: str) -> None:
    assert readable_name(Path(os.fsdecode(name))) == shown
    assert readable_name(os.fsdecode(name)).encode().decode() == shown
