"""What the steps before publishing write, made once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from secondread.data.sources.phantom.source import PhantomSource
from secondread.pipeline.steps.audit import audit
from secondread.pipeline.steps.ingest import ingest
from secondread.pipeline.steps.preprocess import preprocess

_FILMS = "phantom://cxr?images=60&size=32&classes=cxr-normal,cxr-covid"


@dataclass(frozen=True)
class Made:
    """Films in a folder, and what the steps wrote of them."""

    films: str
    images: str
    dataset: str
    findings: str


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Of 60 small phantoms; a test must not change it."""
    root = tmp_path_factory.mktemp("made")
    for image in PhantomSource(_FILMS).images():
        path = root / "films" / image.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image.read())
    done = Made(*(str(root / name) for name in ("films", "images", "dataset", "findings")))
    ingest(done.films, done.images, settings={})
    preprocess(done.images, done.dataset, settings={"image_size": 32})
    audit(done.images, done.dataset, done.findings, settings={"resamples": 100, "sample_images": 100})
    return done


@pytest.fixture
def record(tmp_path: Path) -> str:
    """Where a step writes its output, and beside it why it failed."""
    return str(tmp_path / "step" / "record")
