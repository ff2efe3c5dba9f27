"""Reading images: decode and resize against Pillow, an epoch of a dataset version against a folder of files."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path

import simplejpeg
from PIL import Image

from benchmarks.measure import Measurement, paired_ratio
from benchmarks.peers import image_folder
from benchmarks.workplace import Workplace
from secondread.config.ingest import IngestConfig
from secondread.config.preprocess import PreprocessConfig
from secondread.data.ingest import ingest
from secondread.data.pixels.decode import decode
from secondread.data.pixels.preprocess import Preprocessing, preprocess
from secondread.data.versions.dataset import SplitData
from secondread.data.versions.version import write_dataset_version

IMAGES = 200
BATCH = 64
EPOCH_SIZE = 96
ROUNDS = 21  # of decoding, which takes a tenth of a second, so that anything else on the machine disturbs it
PASSES = 20  # of ours for one of theirs: a single one is over in hundredths of a second


def decode_64(place: Workplace) -> Sequence[Measurement]:
    """Films to 64 pixels on one thread, written one after the other as shards have them; the peer writes JPEGs."""
    return _decode(place, 64)


def decode_224(place: Workplace) -> Sequence[Measurement]:
    """Films to 224 pixels on one thread, written one after the other as shards have them; the peer writes JPEGs."""
    return _decode(place, 224)


def epoch_read(place: Workplace) -> Sequence[Measurement]:
    """The batches of one epoch as training takes them, and the same files decoded anew, one thread each."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            images, dataset = Path(folder, "images"), Path(folder, "dataset")
            ingest(IngestConfig(source=str(place.films.folder), public_ids=True), images)
            version = write_dataset_version(images, dataset, PreprocessConfig(image_size=EPOCH_SIZE))
            train = version.split("train")
            files = [images / path for path in train.rows["path"]]
            ratio = PASSES * paired_ratio(lambda: _epochs(train), lambda: _their_epoch(files), rounds=5)
    finally:
        torch.set_num_threads(threads)
    peer = f"the same JPEG files from a folder, Pillow, one process; {place.films.name}, batches at {EPOCH_SIZE} px"
    return [Measurement("data.epoch_read.speedup_vs_image_folder", ratio, "x", peer, len(files))]


def _epochs(train: SplitData) -> None:
    from secondread.training.batches import Share, train_batches

    for _ in range(PASSES):
        for pixels, _labels in train_batches(train, batch_size=BATCH, seed=0, share=Share()):
            pixels.float().div_(255)


def _their_epoch(files: list[Path]) -> None:
    for _ in image_folder.epoch(files, EPOCH_SIZE, BATCH):
        pass


def _decode(place: Workplace, size: int) -> Sequence[Measurement]:
    encoded = place.films.encoded(IMAGES)
    spec = Preprocessing(size=size)
    sides = [decode(data, min_side=size).shape for data in encoded]
    shard = io.BytesIO()

    def ours() -> None:
        shard.seek(0)
        for data in encoded:
            shard.write(preprocess(data, spec).data)

    def pillow(resample: Image.Resampling | None = None) -> None:
        for data in encoded:
            image_folder.convert(data, size, resample=resample)

    def bare() -> None:
        for data, (height, width) in zip(encoded, sides, strict=True):
            simplejpeg.decode_jpeg(data, "GRAY", min_height=height, min_width=width)

    films, key = place.films.name, f"data.decode_{size}"
    steps = "Pillow: open, convert, resize, save as JPEG"
    usual = paired_ratio(ours, pillow, rounds=ROUNDS)
    bilinear = paired_ratio(ours, lambda: pillow(Image.Resampling.BILINEAR), rounds=ROUNDS)
    return [
        Measurement(f"{key}.speedup_vs_pillow", usual, "x", f"{steps}; {films}", len(encoded)),
        Measurement(f"{key}.speedup_vs_pillow_bilinear", bilinear, "x", f"{steps}, our filter; {films}", len(encoded)),
        Measurement(
            f"{key}.share_of_libjpeg_turbo",
            paired_ratio(ours, bare, rounds=ROUNDS),
            "share",
            f"libjpeg-turbo's decoding to the same scale, and nothing else; {films}",
            len(encoded),
        ),
    ]
