"""Training speed of the default recipe at several sizes, and against the network that this project started from."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.allocator import freed_memory_kept
from benchmarks.measure import Measurement, between
from benchmarks.network import network
from benchmarks.training import fit_alone, images_an_epoch, phantoms, precision, setting, speed
from benchmarks.workplace import Workplace
from secondread.config.train import TrainConfig
from secondread.cpus import cpu_limit

if TYPE_CHECKING:
    from secondread.data.versions.dataset import DatasetVersion

SIZES = {64: 720, 96: 720, 224: 360}  # pixels, and phantoms to draw: batches enough, in seconds each
DEFAULT_SIZE = 96  # of `secondread data preprocess`
BUSIEST_SIZE = 64  # its steps are shortest, so that waiting weighs most
EPOCHS = 4

SEED_SIZE, SEED_PRESET = 64, "vit-seed-64"
ROUNDS = 3  # each between two measurements of ours
PEER_STEPS = 2  # a round; one of them takes a quarter of a minute
SEED_IMAGES = 144  # phantoms: an epoch of our own preset of the seed's network is then one batch


def at(size: int) -> Callable[[Workplace], Sequence[Measurement]]:
    """The benchmark of the default recipe at one image size."""

    def measure(_: Workplace) -> Sequence[Measurement]:
        with phantoms(SIZES[size], size) as dataset:
            return measure_size(dataset, TrainConfig(epochs=EPOCHS))

    return measure


def measure_size(dataset: DatasetVersion, config: TrainConfig) -> list[Measurement]:
    """Images a second, milliseconds an image and the share of the time that steps wait, of one training."""
    from benchmarks.waiting import Waiting

    waiting = Waiting()
    rate = speed(fit_alone(dataset, config, [waiting]))
    note = f"none; {network(dataset, config)}, {setting(config)}"
    n = (config.epochs - 1) * images_an_epoch(dataset, config)
    size = dataset.image_size
    figures = [Measurement(f"train.milliseconds_per_image_{size}", 1000 / rate, "ms", note, n)]
    if size == DEFAULT_SIZE:
        figures.append(Measurement("train.images_per_second", rate, "images/s", note, n))
    if size == BUSIEST_SIZE:
        figures.append(Measurement("train.data_wait_share", waiting.share, "share", note, n))
    return figures


def speedup_vs_seed_config(_: Workplace) -> Sequence[Measurement]:
    """The default preset at 64 pixels against `vit-pytorch` in a plain loop, and against our own preset of it."""
    with phantoms(SIZES[SEED_SIZE], SEED_SIZE) as many, phantoms(SEED_IMAGES, SEED_SIZE) as few:
        return measure_speedup(many, few, TrainConfig(epochs=EPOCHS), rounds=ROUNDS, steps=PEER_STEPS)


def measure_speedup(
    many: DatasetVersion, few: DatasetVersion, config: TrainConfig, *, rounds: int, steps: int
) -> list[Measurement]:
    """Ours, theirs, ours, ...: what lies between two measurements of ours is compared with the mean of the two.

    Args:
        many: images of 64 pixels for our preset.
        few: images of 64 pixels for our preset of the seed's network, one batch of them.
        config: of ours; its batch size is everyone's.
        rounds: how often theirs is measured.
        steps: of theirs a round that count.
    """
    seed = TrainConfig(epochs=2, batch_size=config.batch_size, preset=SEED_PRESET)
    with _threads(), freed_memory_kept():
        vs_peer, vs_preset = between(
            lambda: speed(fit_alone(many, config)),
            [lambda: _peer_speed(many, config.batch_size, steps), lambda: speed(fit_alone(few, seed))],
            rounds=rounds,
        )
    ours = f"ours: {network(many, config)} with augmentation; {setting(config)}"
    peer = "vit-pytorch's transformer behind the same stem, in a plain loop without augmentation"
    preset = f"our preset of the same network, {network(few, seed)}, trained as ours is"
    n = rounds * steps * config.batch_size
    return [
        Measurement("train.speedup_vs_seed_config", statistics.median(vs_peer), "x", f"{peer}; {ours}", n),
        Measurement("train.speedup_vs_seed_preset", statistics.median(vs_preset), "x", f"{preset}; {ours}", n // steps),
    ]


def _peer_speed(dataset: DatasetVersion, batch_size: int, steps: int) -> float:
    """Images a second of the peer on the first batch, which lies in memory ready to be used."""
    import torch

    from benchmarks.peers.vit_pytorch_seed import images_per_second

    data = dataset.split("train")
    images = torch.from_numpy(data.images[:batch_size].copy()).float().div(255).sub(0.5).div(0.5)
    labels = torch.from_numpy(data.labels[:batch_size])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return images_per_second(
        images.to(device),
        labels.to(device),
        classes=len(dataset.taxonomy.names),
        steps=steps,
        bf16=precision() == "bf16-mixed",
    )


@contextmanager
def _threads() -> Iterator[None]:
    """The peer gets as many threads as a training of ours takes."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(cpu_limit())
    try:
        yield
    finally:
        torch.set_num_threads(before)
