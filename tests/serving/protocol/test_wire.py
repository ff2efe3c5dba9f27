"""What the identifier of a request may be: text, or a whole number, which JSON writes in two ways."""

from __future__ import annotations

import pytest

from secondread.errors import InputError
from secondread.serving.protocol.wire import RestRequest, parse_request


def parsed(identifier: str) -> RestRequest:
    image = '{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["aGk="]}'
    return parse_request(f'{{"id": {identifier}, "inputs": [{image}]}}'.encode(), None)


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ('"a"', "a"),
        ("null", ""),
        ("7", "7"),
        ("7.0", "7"),
        ("-7e2", "-700"),
        ("9007199254740991", "9007199254740991"),
    ],
)
def test_texts_and_whole_numbers_are_taken(sent: str, read: str) -> None:
    assert parsed(sent).id == read


@pytest.mark.parametrize("sent", ["7.5", "9007199254740992", "-9007199254740992.0", "1e300", "true", "[]", "{}"])
def test_what_could_not_be_said_back_is_refused(sent: str) -> None:
    with pytest.raises(InputError, match="'id' is no text"):
        parsed(sent)
