"""Reading images: decode and resize against Pillow, an epoch of a dataset version against a folder of files."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.measure import Measurement, paired_ratio
from benchmarks.peers import image_folder
from secondread.config import IngestConfig, PreprocessConfig
from secondread.data.dataset import DatasetVersion
from secondread.data.ingest import ingest
from secondread.data.preprocess import Preprocessing, preprocess
from secondread.data.version import write_dataset_version

IMAGES = 200
BATCH = 64


def decode_64(films: Path) -> Measurement:
    """data.decode_64.speedup_vs_pillow: one thread, 512-pixel JPEG films to 64 pixels."""
    return _decode(films, 64)


def decode_224(films: Path) -> Measurement:
    """data.decode_224.speedup_vs_pillow: one thread, 512-pixel JPEG films to 224 pixels."""
    return _decode(films, 224)


def epoch_read(films: Path) -> Measurement:
    """data.epoch_read.speedup_vs_image_folder: one pass in random order, as float batches at 96 pixels."""
    files = _files(films)
    with tempfile.TemporaryDirectory() as folder:
        ingest(IngestConfig(source=str(films), public_ids=True), Path(folder, "images"))
        config = PreprocessConfig(image_size=96)
        version = write_dataset_version(Path(folder, "images"), Path(folder, "dataset"), config)
        train = version.split("train")
        ours = lambda: _epoch(version)  # noqa: E731 - two callables side by side
        theirs = lambda: list(image_folder.epoch(files[: len(train.labels)], 96, BATCH))  # noqa: E731
        ratio = paired_ratio(ours, theirs, rounds=3)
    key = "data.epoch_read.speedup_vs_image_folder"
    return Measurement(key, ratio, "x", "a folder of JPEG files decoded with Pillow", len(train.labels))


def _epoch(version: DatasetVersion) -> None:
    images = version.split("train").images
    order = np.random.default_rng(0).permutation(len(images))
    for start in range(0, len(order), BATCH):
        (images[order[start : start + BATCH]].astype(np.float32) / 255).sum()


def _decode(films: Path, size: int) -> Measurement:
    encoded = [path.read_bytes() for path in _files(films)[:IMAGES]]
    spec = Preprocessing(size=size)
    shard = np.empty((IMAGES, size, size), np.uint8)

    def ours() -> None:
        for row, data in enumerate(encoded):
            shard[row] = preprocess(data, spec)
        np.save(io.BytesIO(), shard)

    ratio = paired_ratio(ours, lambda: [image_folder.convert(data, size) for data in encoded])
    peer = "Pillow: open, convert, resize, save as JPEG"
    return Measurement(f"data.decode_{size}.speedup_vs_pillow", ratio, "x", peer, IMAGES)


def _files(films: Path) -> list[Path]:
    return sorted(films.rglob("*.jpg"))


BENCHMARKS = (decode_64, decode_224, epoch_read)
