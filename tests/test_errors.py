"""The exception tree and what a process or a server answers for each."""

import inspect
import re

import pytest

from secondread import errors

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.SecondReadError)]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_the_drawing_of_the_tree_is_true(kind: type[errors.SecondReadError]) -> None:
    line = re.search(rf"{kind.__name__}\s+(\d+)\s+(\d+)", errors.__doc__ or "")
    assert line is not None, f"{kind.__name__} is not in the drawing"
    assert (kind.exit_code, kind.http_status) == (int(line[1]), int(line[2]))


def test_anything_else_is_a_bug() -> None:
    assert errors.exit_code_of(ZeroDivisionError()) == 70
    assert errors.exit_code_of(errors.GateRefused("no")) == 4
