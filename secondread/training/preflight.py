"""Looks at the machine before a training starts on it, and says in one line what it lacks and how to mend it.

Without it a recipe for four GPUs trains on the CPU without a word where the pod was given none, and NCCL ends with
"unhandled system error" where `/dev/shm` is as small as a container has it by default (kubeflow/pipelines#9147).
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

from secondread.config.train import TrainConfig
from secondread.errors import DependencyError

_HERE = frozenset({"single", "ddp", "fsdp"})  # strategies whose processes run on this machine
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where NCCL and RCCL put their segments
_MIB = 1 << 20
# What NCCL and RCCL may take: about 10 MB for each channel to each neighbour. It is the 1 GiB that NVIDIA advises for a
# machine of eight GPUs.
SHARED_MEMORY_PER_PROCESS = 128 * _MIB


@dataclass(frozen=True)
class Machine:
    """What a training finds.

    Attributes:
        gpus: CUDA or ROCm devices that torch sees.
        torch_build: of this torch, such as `CUDA 12.8`, `ROCm 6.4` or `CPU`.
        shared_memory: bytes that are free in /dev/shm; 0 where there is none.
    """

    gpus: int
    torch_build: str
    shared_memory: int

    @classmethod
    def look(cls) -> Machine:
        """This one."""
        free = shutil.disk_usage(_SHARED_MEMORY).free if _SHARED_MEMORY.is_dir() else 0
        return cls(gpus=torch.cuda.device_count(), torch_build=_torch_build(), shared_memory=free)


def check_machine(config: TrainConfig, machine: Machine | None = None) -> None:
    """Refuse to start a training that this machine cannot do, or would do on something else than was asked for.

    What `ray` and `trainjob` train on are other machines; each of their processes checks its own.

    Args:
        config: recipe.
        machine: where the processes will run; this one by default.
    Raises:
        DependencyError: no GPU, or fewer than processes, or too little shared memory for GPUs to speak with each other.
    """
    if config.strategy not in _HERE or config.accelerator == "cpu":
        return
    machine = machine or Machine.look()
    processes = 1 if config.strategy == "single" else config.processes
    check_gpus(config, processes=processes, gpus=machine.gpus, torch_build=machine.torch_build)
    if machine.gpus and processes > 1:
        check_shared_memory(machine.shared_memory, processes=processes)


def check_gpus(config: TrainConfig, *, processes: int, gpus: int, torch_build: str) -> None:
    """Refuse where GPUs were asked for and torch sees none, or where some but not all processes would get one.

    Args:
        config: recipe.
        processes: on this machine; each takes one GPU.
        gpus: that torch sees.
        torch_build: for the message: a build for CPUs sees none.
    Raises:
        DependencyError: as the first line says.
    """
    if not gpus and config.accelerator == "gpu":
        raise DependencyError(
            f"accelerator 'gpu' is asked for, but torch {torch.__version__} (built for {torch_build}) sees no GPU. Ask "
            "the cluster for one (nvidia.com/gpu, amd.com/gpu) and use the torch build of its maker, or set "
            "train.accelerator=cpu."
        )
    if 0 < gpus < processes:
        raise DependencyError(
            f"strategy '{config.strategy}' asks for {processes} processes, a GPU each, but torch sees {gpus} here. "
            f"Set train.processes={gpus}, give this machine more GPUs, or set train.accelerator=cpu."
        )


def check_shared_memory(free: int, *, processes: int) -> None:
    """Refuse to let GPUs speak with each other through too small a `/dev/shm`.

    Args:
        free: bytes there.
        processes: that share it.
    Raises:
        DependencyError: it is too small.
    """
    needed = processes * SHARED_MEMORY_PER_PROCESS
    if free < needed:
        raise DependencyError(
            f"shared memory (/dev/shm) has {free // _MIB} MiB free, and {processes} processes on GPUs need "
            f"{needed // _MIB} MiB. In a pod mount an emptyDir of medium Memory there, as pipelines/pods.py does; with "
            f"docker run use --shm-size={needed // _MIB}m or --ipc=host."
        )


def _torch_build() -> str:
    if torch.version.hip:
        return f"ROCm {torch.version.hip}"
    return f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU"
