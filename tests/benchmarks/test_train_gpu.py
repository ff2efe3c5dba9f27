"""What is measured on a GPU, run through on the processor; the figures of a GPU need one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks import gpu, train_gpu
from benchmarks.training import phantoms
from secondread.config.train import TrainConfig
from secondread.data.versions.dataset import DatasetVersion
from secondread.model.vit import ViTConfig

LOAD = train_gpu.Load(
    TrainConfig(preset="vit-test-32", epochs=2, batch_size=16, threads=1, precision="bf16-mixed"),
    images=150,
    matrix=64,
    profiled_steps=2,
)


@pytest.fixture(scope="module")
def dataset() -> Iterator[DatasetVersion]:
    with phantoms(LOAD.images, 32) as version:
        yield version


def test_operations_are_those_of_the_products_forward_and_twice_backward() -> None:
    config = ViTConfig(
        image_size=8, classes=3, stem_channels=(4,), stem_strides=(2,), dim=6, depth=2, heads=2, head_dim=5, mlp_dim=7
    )
    tokens, inner = 17, 10
    block = tokens * (4 * config.dim * inner + 2 * config.dim * config.mlp_dim) + 2 * tokens**2 * inner
    first_convolution = 16 * 9 * 4
    rest = 16 * 4 * config.dim + config.depth * block + config.dim * config.classes
    # nothing asks for the gradient of the pixels
    assert gpu.operations_per_image(config) == 2 * (3 * rest + 2 * first_convolution)


def test_the_rate_is_told_as_a_share_of_a_matrix_product(dataset: DatasetVersion, tmp_path: Path) -> None:
    page = tmp_path / "gpu-profile.md"
    rate, share = train_gpu.measure_throughput(dataset, LOAD, device="cpu", page=page)
    assert (rate.key, share.key) == ("train.gpu.images_per_second", "train.gpu.share_of_bf16_peak")
    assert rate.value > 0
    assert share.value > 0
    assert "TFLOP/s here" in share.peer
    rows = [line.split(" | ") for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert 5 < len(rows) <= 15
    times = [float(row[2]) for row in rows]
    assert times == sorted(times, reverse=True)
    assert any("aten::" in row[0] for row in rows)


def test_the_peak_is_that_of_the_fastest_product_but_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.5, 1.0, 5.0, 6.0, 8.0])  # 0.5 s, 4 s, 2 s
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    assert gpu.bf16_peak("cpu", side=10, repeats=2) == 2 * 10**3 / 2


def test_the_time_to_an_accuracy_is_that_of_the_epochs_up_to_it(
    dataset: DatasetVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    epochs = [SimpleNamespace(val_accuracy=each) for each in (0.5, 0.9, 0.8, 0.95)]
    monkeypatch.setattr(train_gpu, "fit_alone", lambda *_: SimpleNamespace(epochs=epochs, seconds=40.0))
    config = TrainConfig(preset="vit-test-32", batch_size=16)
    (figure,) = train_gpu.measure_time_to(0.87, dataset, config)
    assert figure.value == 20.0
    assert "after epoch 2 of 4" in figure.peer
    assert train_gpu.measure_time_to(0.96, dataset, config) == []


def test_a_machine_without_a_gpu_is_told_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = "needs a GPU that torch computes bf16 on (CUDA or ROCm), and this machine has none"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert train_gpu.missing() == needs
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for has_instructions, said in ((False, needs), (True, "")):
        monkeypatch.setattr(
            torch.cuda,
            "is_bf16_supported",
            lambda including_emulation=True, computes=has_instructions: including_emulation or computes,
        )
        assert train_gpu.missing() == said
