"""What is audited: the pictures of a version are those of its shards, without the padding."""

from pathlib import Path

import numpy as np
from PIL import Image

from secondread.config.ingest import IngestConfig
from secondread.config.preprocess import PreprocessConfig
from secondread.data.audit.subject import open_subject
from secondread.data.ingest import ingest
from secondread.data.versions.version import write_dataset_version


def test_every_picture_of_a_version_is_read_from_its_place(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(24):
        path = tmp_path / "in" / ("a", "b")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = ((40, 40), (40, 30), (30, 40))[number % 3]
        Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(path)
    ingest(IngestConfig(source=str(tmp_path / "in")), tmp_path / "images")
    version = write_dataset_version(tmp_path / "images", tmp_path / "version", PreprocessConfig(image_size=32))
    subject = open_subject(tmp_path / "version")
    stored = np.concatenate([version.split(name).images[:, 0] for name in ("train", "val", "test")])
    assert len(stored) == len(subject.rows) == 24
    for position, image in enumerate(stored):
        row = subject.rows.iloc[position]
        inner = image if row["width"] == row["height"] else image[:, 4:-4] if row["width"] == 30 else image[4:-4]
        np.testing.assert_array_equal(subject.read(position), inner)


def test_a_picture_whose_frame_was_trimmed_is_seen_whole(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(24):
        path = tmp_path / "in" / ("a", "b")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        film = np.zeros((40, 100), np.uint8)
        film[:, 30:70] = rng.integers(100, 256, (40, 40), np.uint8)  # square once its black frame is gone
        Image.fromarray(film).save(path)
    ingest(IngestConfig(source=str(tmp_path / "in")), tmp_path / "images")
    config = PreprocessConfig(image_size=32, trim_borders=True)
    version = write_dataset_version(tmp_path / "images", tmp_path / "version", config)
    subject = open_subject(tmp_path / "version")
    np.testing.assert_array_equal(subject.read(0), version.split("train").images[0, 0])
