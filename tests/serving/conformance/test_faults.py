"""What a candidate is asked before it gets requests: a server that is right has no fault, and each fault is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from secondread.errors import DependencyError
from secondread.model.folder import ModelFolder
from secondread.serving import conformance, predict
from secondread.serving.conformance import Expected, faults
from secondread.serving.protocol.contract import Answer
from tests.serving.conftest import Served


@pytest.fixture
def expected(model: ModelFolder) -> Expected:
    return Expected("secondread", 3, model.digest())


def test_a_server_that_is_right_has_no_fault(served: Served, expected: Expected) -> None:
    assert faults(served.url, "", expected) == []


def test_another_model_than_the_registered_one_is_named(served: Served, expected: Expected) -> None:
    assert faults(served.url, "", replace(expected, version=4)) == [
        f"version 3 (digest {expected.digest[:12]}) answers in the place of version 4"
    ]
    (other,) = faults(served.url, "", replace(expected, digest="0" * 64))
    assert other.endswith("answers in the place of version 3")


def test_where_nobody_answers_there_is_no_verdict(expected: Expected) -> None:
    with pytest.raises(DependencyError, match=r"no server answers at http://127.0.0.1:9"):
        faults("http://127.0.0.1:9", "", expected)


def double(answer: Answer) -> None:
    answer.tensors["probabilities"] *= 2


def shy(answer: Answer) -> None:
    answer.tensors["confidence"] /= 2


def mute(answer: Answer) -> None:
    del answer.tensors["urgency"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (double, "probabilities are none: they do not sum to 1"),
        (shy, "confidence is not the largest probability"),
        (mute, "the answer lacks urgency"),
    ],
)
def test_what_is_wrong_with_an_answer_is_named(
    served: Served, expected: Expected, change: Callable[[Answer], None], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(*given: Any, **named: Any) -> Iterator[tuple[Any, Answer]]:
        for paths, answer in predict.ask_server(*given, **named):
            own = Answer({name: each.copy() for name, each in answer.tensors.items()}, answer.parameters)
            change(own)
            yield paths, own

    monkeypatch.setattr(conformance, "ask_server", changed)
    assert says in faults(served.url, "", expected)


def test_what_has_to_be_refused_and_is_not_is_named(
    served: Served, expected: Expected, monkeypatch: pytest.MonkeyPatch
) -> None:
    def obliging(address: str, paths: Any, *, name: str, token: str, test: bool) -> Iterator[tuple[Any, Answer]]:
        readable = [conformance_image(path) for path in paths]
        yield from predict.ask_server(address, readable, name=name.removesuffix("-x"), token=token, test=test)

    def conformance_image(path: Path) -> Path:
        return path.with_name("0.img") if path.name == "no-image.jpg" else path

    monkeypatch.setattr(conformance, "ask_server", obliging)
    assert faults(served.url, "", expected) == ["what is no image is answered", "a model that is not there is answered"]
