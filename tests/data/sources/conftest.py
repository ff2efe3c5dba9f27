"""Small trees in the layouts of public datasets."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from secondread.data.sources.source import Source, SourceImage

_NO_FACT = {"name", "label", "read"}
_BY_SET = {"source", "modality"}  # the same for every image of a set; tested once


@pytest.fixture
def plant(tmp_path: Path, film: Callable[..., bytes]) -> Callable[..., Path]:
    """Write different little films at these paths: `plant("downloads", ["COVID/images/COVID-1.png", ...])`."""

    def make(name: str, paths: Iterable[str]) -> Path:
        root = tmp_path / name
        for seed, path in enumerate(paths):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(film(seed, kind="PNG" if path.endswith("png") else "JPEG"))
        return root

    return make


@pytest.fixture
def excel() -> Callable[..., None]:
    """Write an Excel sheet: `excel(path, rows)`."""

    def write(path: Path, rows: Sequence[Sequence[Any]]) -> None:
        from openpyxl import Workbook

        book = Workbook()
        for row in rows:
            book.active.append(list(row))
        book.save(path)

    return write


@pytest.fixture
def rows_of() -> Callable[[Source], list[tuple[Any, ...]]]:
    """Each image of a source as (name, label, what else is known of it alone), every image read."""

    def row(image: SourceImage) -> tuple[Any, ...]:
        assert image.read()
        hidden = _NO_FACT | _BY_SET | {"license"}
        known = {f.name: getattr(image, f.name) for f in fields(image) if f.name not in hidden}
        shown = {name: value for name, value in known.items() if value not in ("", None) and value is not False}
        return image.name, image.label, shown

    return lambda source: [row(image) for image in source.images()]
