"""Before a training starts: what the machine lacks is said in one line, and nothing is asked for that is not needed."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from secondread.config.train import TrainConfig
from secondread.data.versions.dataset import DatasetVersion
from secondread.errors import DependencyError, InputError
from secondread.training.preflight import Machine, check_machine, check_shared_memory
from secondread.training.train import train

MIB = 1 << 20
DEFAULT_SHM = 64 * MIB  # of a container


def machine(gpus: int, shared_memory: int = 2048 * MIB) -> Machine:
    return Machine(gpus=gpus, torch_build="CUDA 12.8", shared_memory=shared_memory)


def recipe(strategy: str, processes: int = 2, accelerator: str = "auto") -> TrainConfig:
    return TrainConfig(strategy=strategy, processes=processes, accelerator=accelerator)


def refusal(config: TrainConfig, here: Machine) -> str:
    with pytest.raises(DependencyError) as refused:
        check_machine(config, here)
    assert "\n" not in str(refused.value)
    assert refused.value.exit_code == 3
    return str(refused.value)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_the_shared_memory_of_a_plain_container_is_too_small_for_two_gpus(strategy: str) -> None:
    message = refusal(recipe(strategy), machine(2, DEFAULT_SHM))
    assert "shared memory (/dev/shm) has 64 MiB free, and 2 processes on GPUs need 256 MiB." in message
    assert "emptyDir of medium Memory there" in message
    assert "--shm-size=256m" in message


def test_eight_gpus_need_what_nvidia_advises() -> None:
    check_shared_memory(1024 * MIB, processes=8)
    with pytest.raises(DependencyError, match="need 1024 MiB"):
        check_shared_memory(1023 * MIB, processes=8)


def test_what_the_pipeline_mounts_is_enough_for_a_machine_of_eight() -> None:
    from secondread_pipelines.pods import SHARED_MEMORY

    assert SHARED_MEMORY.endswith("Gi")
    check_shared_memory(int(SHARED_MEMORY.removesuffix("Gi")) * 1024 * MIB, processes=8)


def test_one_gpu_and_processes_on_cpus_speak_with_nobody_through_it() -> None:
    check_machine(recipe("single"), machine(1, DEFAULT_SHM))
    check_machine(recipe("ddp"), machine(0, DEFAULT_SHM))
    check_machine(recipe("ddp", accelerator="cpu"), machine(2, DEFAULT_SHM))


def test_a_gpu_that_was_asked_for_must_be_seen() -> None:
    message = refusal(recipe("single", accelerator="gpu"), Machine(0, "CPU", 0))
    assert "built for CPU) sees no GPU" in message
    assert "nvidia.com/gpu, amd.com/gpu" in message


def test_every_process_must_get_a_gpu_where_there_are_some() -> None:
    """Else all of them would train on the CPU, beside GPUs that somebody pays for."""
    message = refusal(recipe("ddp", processes=4), machine(2))
    assert "asks for 4 processes, a GPU each, but torch sees 2 here. Set train.processes=2" in message


def test_machines_that_train_elsewhere_are_not_looked_at_here() -> None:
    for strategy in ("ray", "trainjob"):
        check_machine(recipe(strategy, processes=8, accelerator="gpu"), machine(0, 0))


def test_an_accelerator_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InputError, match="accelerator must be one of auto, cpu, gpu, not 'tpu'"):
        recipe("single", accelerator="tpu")


def test_a_training_that_lacks_its_gpu_starts_nothing(
    dataset: DatasetVersion, quick: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(DependencyError, match="sees no GPU"):
        train(dataset, tmp_path / "model", quick(accelerator="gpu"))
    assert not list(tmp_path.iterdir())
