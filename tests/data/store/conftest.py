"""A small dataset version, and an empty place for it in a real Swift."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from secondread.config.ingest import IngestConfig
from secondread.config.preprocess import PreprocessConfig
from secondread.data.ingest import ingest
from secondread.data.versions.dataset import DatasetVersion
from secondread.data.versions.version import write_dataset_version


@pytest.fixture
def root(store_root: str) -> str:
    """URI of an empty place, by each of the two APIs."""
    return store_root


@pytest.fixture
def version(films: Callable[..., Path], tmp_path: Path) -> DatasetVersion:
    source = films(normal=24, covid=24)
    ingest(IngestConfig(source=str(source)), tmp_path / "ingested", patient_key=tmp_path / "key")
    return write_dataset_version(tmp_path / "ingested", tmp_path / "version", PreprocessConfig(image_size=32))
