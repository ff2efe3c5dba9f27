"""The reference file: what was written is read, and nothing else is."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from secondread.errors import IntegrityError
from secondread.monitoring.answers import Answers, encode_answers, read_answers


def some(images: int = 7) -> Answers:
    rng = np.random.default_rng(0)
    return Answers(
        rng.integers(3, size=images),
        rng.random(images, np.float32),
        rng.random((images, 4), np.float32),
        np.arange(images),
    )


def test_what_was_written_is_read(tmp_path: Path) -> None:
    file = tmp_path / "reference.npz"
    file.write_bytes(encode_answers(some()))
    for name, array in asdict(read_answers(file)).items():
        np.testing.assert_array_equal(array, getattr(some(), name), strict=True)


def test_the_same_answers_are_the_same_bytes() -> None:
    assert encode_answers(some()) == encode_answers(some())


def damaged(kind: str) -> bytes:
    whole = encode_answers(some())
    if kind == "cut":
        return whole[:200]
    if kind == "no archive":
        return b"reference"
    arrays = asdict(some())
    if kind == "an array is missing":
        del arrays["group"]
    elif kind == "another length":
        arrays["confidence"] = arrays["confidence"][:-1]
    elif kind == "another type":
        arrays["predicted"] = arrays["predicted"].astype(np.float64)
    elif kind == "a pickle":
        arrays["embedding"] = np.array([{}] * 7)
    import io

    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "kind", ["cut", "no archive", "an array is missing", "another length", "another type", "a pickle"]
)
def test_anything_else_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "reference.npz"
    file.write_bytes(damaged(kind))
    with pytest.raises(IntegrityError, match=r"reference\.npz does not hold a model's answers .*Register the model"):
        read_answers(file)
