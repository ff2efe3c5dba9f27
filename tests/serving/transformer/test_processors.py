"""Images that wait for a processor, and for how long."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from secondread.config.serve import ServeConfig
from secondread.errors import OverloadedError
from secondread.export.repository.layout import RepositoryModel, read_repository
from secondread.serving.transformer.admission import ClientGoneError
from secondread.serving.transformer.transformer import Transformer
from secondread.serving.transformer.versions import Served, ServedVersion

CONFIG = ServeConfig(threads=1, predictor_timeout_seconds=0.05)


@pytest.fixture
def reader(repository: Path) -> RepositoryModel:
    return read_repository(repository, "secondread")


@pytest.fixture
def transformer(reader: RepositoryModel) -> Iterator[Transformer]:
    """With one processor, before a Triton that is not there."""
    transformer = Transformer(ServedVersion([Served.at("127.0.0.1:1", reader, CONFIG)]), CONFIG)
    yield transformer
    transformer.close()


@pytest.fixture
def png() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("images", [1, 3])
def test_an_image_that_gets_no_processor_in_time_is_told_to_come_back(
    transformer: Transformer, reader: RepositoryModel, png: bytes, images: int
) -> None:
    with transformer._processor(None), pytest.raises(OverloadedError, match="kept all processors"):
        transformer._pixels(reader, [png] * images, None)
    assert transformer._pixels(reader, [png] * images, None).shape[:2] == (images, 1)


def test_a_clients_own_deadline_ends_the_wait_before(
    transformer: Transformer, reader: RepositoryModel, png: bytes
) -> None:
    with transformer._processor(None), pytest.raises(ClientGoneError):
        transformer._pixels(reader, [png], 0.0)
    assert transformer._pixels(reader, [png], 0.0).shape[:2] == (1, 1)


def test_a_processor_is_free_again_after_an_image_that_cannot_be_read(
    transformer: Transformer, reader: RepositoryModel, png: bytes
) -> None:
    with pytest.raises(Exception, match="image 0: the PNG is corrupt"):
        transformer._pixels(reader, [png[:40]], None)
    assert transformer._pixels(reader, [png], None).shape[:2] == (1, 1)
