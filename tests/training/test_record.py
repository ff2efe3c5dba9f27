"""What in a dataset version gives its labels away, written down for the model card."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from PIL import Image

from secondread.config.ingest import IngestConfig
from secondread.config.preprocess import PreprocessConfig
from secondread.config.train import TrainConfig
from secondread.data.ingest import ingest
from secondread.data.versions.dataset import DatasetVersion
from secondread.data.versions.version import write_dataset_version
from secondread.errors import InputError
from secondread.training.record import audit_of


@pytest.fixture(scope="module")
def framed(tmp_path_factory: pytest.TempPathFactory) -> DatasetVersion:
    """Noise of two classes, one of which has a white frame and a source of its own."""
    root, random = tmp_path_factory.mktemp("framed"), np.random.default_rng(0)
    (root / "films").mkdir()
    lines = ["path,label,source"]
    for number in range(120):
        film, label = random.integers(60, 190, (48, 48)).astype(np.uint8), ("cxr-a", "cxr-b")[number % 2]
        if label == "cxr-a":
            film[:3], film[-3:], film[:, :3], film[:, -3:] = 255, 255, 255, 255
        Image.fromarray(film).save(root / "films" / f"{number}.png")
        lines.append(f"{number}.png,{label},hospital {label[-1]}")
    (root / "films" / "manifest.csv").write_text("\n".join(lines))
    ingest(IngestConfig(source=str(root / "films")), root / "ingested", patient_key=root / "patient.key")
    return write_dataset_version(root / "ingested", root / "dataset", PreprocessConfig(image_size=32))


def test_a_frame_and_a_source_that_tell_the_label_are_found_and_logged(
    framed: DatasetVersion, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        found = audit_of(framed, images=100, seed=0)
    by_name = {item.name: item for item in found.shortcuts}
    for name in ("source", "border_pixels"):
        assert by_name[name].severity == "serious"
        assert by_name[name].value > 0.95
        assert by_name[name].images <= 100
    assert {item.name for item in found.telling} >= {"source", "border_pixels"}
    assert "the source alone tells the label" in caplog.text
    assert "may have learned that instead of the finding" in caplog.text


@pytest.mark.parametrize("images", [-1, 99])
def test_too_few_images_to_measure_on_are_refused(images: int) -> None:
    with pytest.raises(InputError, match="audit_images must be 0, or at least 100"):
        TrainConfig(audit_images=images)
