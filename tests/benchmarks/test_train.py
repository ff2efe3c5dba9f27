"""The benchmarks of training, on networks and sets so small that they say nothing: what they measure, and what of."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import lightning
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

import secondread
from benchmarks import __main__ as command
from benchmarks import train, train_accuracy, train_gpu, train_memory
from benchmarks.catalogue import BENCHMARKS, Benchmark
from benchmarks.measure import Measurement, between
from benchmarks.train_accuracy import Held
from benchmarks.training import phantoms
from benchmarks.waiting import Waiting
from benchmarks.workplace import Workplace
from secondread.config.train import TrainConfig
from secondread.data.versions.dataset import DatasetVersion, SplitData
from secondread.errors import DependencyError

TINY = "vit-test-32"


@pytest.fixture(scope="module")
def dataset() -> Iterator[DatasetVersion]:
    with phantoms(150, 32) as version:
        yield version


def by_key(figures: Sequence[Measurement]) -> dict[str, Measurement]:
    return {figure.key: figure for figure in figures}


def test_each_benchmark_of_training_is_in_the_catalogue() -> None:
    keys = {key for each in BENCHMARKS for key in each.figures if key.startswith("train.")}
    assert {f"train.milliseconds_per_image_{size}" for size in (64, 96, 224)} <= keys
    assert {f"train.peak_memory_mib_batch_{size}" for size in (16, 64, 256)} <= keys
    asked_for = {key for each in BENCHMARKS if each.apart == "accuracy" for key in each.figures}
    assert {f"train.accuracy_minus_seed_config_{end}" for end in ("points", "low_points")} == asked_for


def test_time_an_image_and_the_share_of_waiting_come_from_one_training(
    dataset: DatasetVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "BUSIEST_SIZE", 32)
    figures = by_key(train.measure_size(dataset, TrainConfig(preset=TINY, epochs=3, batch_size=16, threads=1)))
    assert set(figures) == {"train.milliseconds_per_image_32", "train.data_wait_share"}
    assert 0 < figures["train.data_wait_share"].value < 1
    assert figures["train.milliseconds_per_image_32"].value > 0
    assert all("vit-test-32" in figure.peer and "batch 16" in figure.peer for figure in figures.values())
    images = sum(dataset.counts["train"].values())
    assert {figure.n for figure in figures.values()} == {2 * (images // 16 * 16)}


def test_waiting_is_the_time_between_steps_of_all_epochs_but_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting, module = Waiting(), lightning.LightningModule()
    # begin of the epoch, begin and end of two steps: 1 s and 2 s between, 3 s and 4 s within
    clock = iter([0.0, 1.0, 4.0, 6.0, 10.0] * 3)
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    for epoch in range(3):
        trainer = SimpleNamespace(current_epoch=epoch)
        waiting.on_train_epoch_start(trainer, module)
        for step in range(2):
            waiting.on_train_batch_start(trainer, module, None, step)
            waiting.on_train_batch_end(trainer, module, None, None, step)
    assert (waiting.waited, waiting.stepped) == (2 * 3.0, 2 * 7.0)
    assert waiting.share == pytest.approx(0.3)


def test_ours_is_measured_before_and_after_each_of_theirs() -> None:
    rates = iter([10.0, 20.0, 40.0])
    first, second = between(lambda: next(rates), [lambda: 5.0, lambda: 10.0], rounds=2)
    assert first == [3.0, 6.0]
    assert second == [1.5, 3.0]


def test_the_speedup_is_told_against_the_package_and_against_our_preset(
    dataset: DatasetVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = {"ours": 60.0, "vit-64": 4.0}
    monkeypatch.setattr(train, "SEED_PRESET", "vit-64")
    monkeypatch.setattr(train, "_peer_speed", lambda _, batch_size, steps: float(batch_size * steps) / 8)
    monkeypatch.setattr(train, "fit_alone", lambda _, config: rates.get(config.preset, rates["ours"]))
    monkeypatch.setattr(train, "speed", lambda rate: rate)
    config = TrainConfig(preset=TINY, epochs=2, batch_size=8)
    figures = by_key(train.measure_speedup(dataset, dataset, config, rounds=3, steps=2))
    vs_peer, vs_preset = figures["train.speedup_vs_seed_config"], figures["train.speedup_vs_seed_preset"]
    assert (vs_peer.value, vs_preset.value) == (30.0, 15.0)
    assert "vit-pytorch" in vs_peer.peer
    assert "network, vit-64" in vs_preset.peer
    assert (vs_peer.n, vs_preset.n) == (3 * 2 * 8, 3 * 8)


def test_the_peer_is_given_the_same_films_and_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[torch.Tensor] = []

    def loop(images: torch.Tensor, labels: torch.Tensor, **_: object) -> float:
        given.extend((images, labels))
        return 1.0

    monkeypatch.setattr("benchmarks.peers.vit_pytorch_seed.images_per_second", loop)
    data = SplitData(np.full((5, 1, 64, 64), 255, np.uint8), np.arange(5), pd.DataFrame())
    version = SimpleNamespace(split={"train": data}.__getitem__, taxonomy=SimpleNamespace(names="abcde"))
    assert train._peer_speed(version, 4, 1) == 1.0
    assert given[0].shape == (4, 1, 64, 64)
    assert (given[0] == 1).all()
    assert given[1].tolist() == [0, 1, 2, 3]


def test_memory_is_that_of_another_process(dataset: DatasetVersion) -> None:
    figure = train_memory.measure_memory(dataset, TrainConfig(preset=TINY, epochs=1, batch_size=16, threads=1))
    assert figure.key == "train.peak_memory_mib_batch_16"
    assert 200 < figure.value < 4000
    assert "batch 16" in figure.peer


def test_the_interval_is_students_and_wider_where_folds_share_films() -> None:
    differences = [1.0, 2.5, -0.5, 3.0]
    plain = train_accuracy.interval(differences, held_out_per_trained=0)
    expected = stats.t.interval(0.95, 3, loc=np.mean(differences), scale=stats.sem(differences))
    assert plain == pytest.approx(expected)
    low, high = train_accuracy.interval(differences, held_out_per_trained=0.25)
    assert high - low == pytest.approx((plain[1] - plain[0]) * math.sqrt(2))


def test_every_image_is_held_out_once_and_no_training_is_done_twice(
    dataset: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []

    def train_one(part: DatasetVersion, config: TrainConfig) -> Held:
        trained.append(config.preset)
        images = sum(part.counts["test"].values())
        right = images - (1 if config.preset == TINY else 10 + len(trained))
        return Held(right, images, sum(part.counts["train"].values()), 1.0)

    monkeypatch.setattr(train_accuracy, "_train", train_one)
    config = TrainConfig(preset=TINY, epochs=1)

    def compare(minutes: float) -> dict[str, Measurement]:
        return by_key(train_accuracy.compare(dataset, tmp_path, config, split_seeds=(0,), folds=3, minutes=minutes))

    part = compare(0)["train.accuracy_minus_seed_config_points"]
    assert trained == [TINY, "vit-seed-64"] * 2, "no third fold is begun when the time is up"
    whole = compare(60)
    assert trained == [TINY, "vit-seed-64"] * 3
    figure, low = whole.values()
    assert figure.n == sum(sum(counts.values()) for counts in dataset.counts.values())
    assert part.n < figure.n
    assert 0 < low.value < figure.value
    assert "3 folds" in figure.peer
    assert compare(0) == compare(60) == whole, "what is done counts when the time is up, too"
    assert len(trained) == 6
    train_accuracy.compare(dataset, tmp_path, TrainConfig(preset=TINY, epochs=2), split_seeds=(0,), folds=3)
    assert len(trained) == 12, "another recipe is another training"


# what a training imports, but for what comes of it in one process that is never cut
TELLS_OR_KEEPS = {"checkpoint", "device", "epochs", "memory", "resume", "sharded", "stop"}


def test_whatever_decides_what_a_training_comes_to_makes_it_another_one() -> None:
    library = Path(secondread.__file__).parent
    found, left = set(), {"fit"}
    while left:
        found.add(name := left.pop())
        source = (library / "training" / f"{name}.py").read_text(encoding="utf-8")
        left |= set(re.findall(r"from secondread\.training\.(\w+) import", source)) - found
    counted = {path.removeprefix("training/").removesuffix(".py") for path in train_accuracy._SOURCES}
    assert counted - {"model/vit"} == found - TELLS_OR_KEEPS
    assert found >= TELLS_OR_KEEPS


def test_what_was_trained_is_judged_on_the_films_it_was_not_shown(dataset: DatasetVersion) -> None:
    held = train_accuracy._train(dataset, TrainConfig(preset=TINY, epochs=1, batch_size=32, threads=1))
    counts = {split: sum(each.values()) for split, each in dataset.counts.items()}
    assert (held.images, held.trained) == (counts["test"], counts["train"])
    assert 0 <= held.right <= held.images


def test_without_the_public_set_the_comparison_says_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECONDREAD_TEST_DATA", str(tmp_path))
    for measure in (train_accuracy.minus_seed_config, train_gpu.seconds_to_seed_accuracy):
        with pytest.raises(DependencyError, match=r"radiography-4 is not there: .*SECONDREAD_TEST_DATA"):
            measure(Workplace(tmp_path))


def test_what_the_machine_cannot_measure_is_passed_over_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "RESULTS", tmp_path / "results.json")

    def never(_: Workplace) -> Sequence[Measurement]:
        raise AssertionError

    key = "train.gpu.images_per_second"
    benchmark = Benchmark(never, {key: ""}, needs="a GPU", missing=lambda: "needs a GPU, and this machine has none")
    measured = command.run([(benchmark, frozenset({key}))], tmp_path)
    assert measured == {}
    command._show(measured)
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert lines[-1].strip() == "passed over: needs a GPU, and this machine has none"
