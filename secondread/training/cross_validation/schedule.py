"""How many folds train at once, on what, and with how many threads each.

Small steps do not fill many threads, so several folds at once with few threads each end sooner than one after the other
with all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import psutil

from secondread.config.train import TrainConfig
from secondread.cpus import CGROUP_ROOT, cpu_limit

# Of one training process at its peak, measured with the default network at 64 and 224 pixels and 64 and 128 images: the
# libraries, and what a step keeps of each pixel of its batch
_LIBRARY_BYTES, _BYTES_PER_PIXEL = 1_000_000_000, 250


@dataclass(frozen=True)
class Machine:
    """What folds may use.

    Attributes:
        cpus: of the container.
        gpus: that torch sees.
        memory: bytes that are free.
    """

    cpus: int
    gpus: int
    memory: int

    @classmethod
    def here(cls) -> Machine:
        """This one."""
        import torch

        return cls(cpu_limit(), torch.cuda.device_count(), _free_memory())


@dataclass(frozen=True)
class Schedule:
    """Who trains when.

    Attributes:
        at_once: folds that train at the same time.
        threads: of each fold, in their order.
        devices: `CUDA_VISIBLE_DEVICES` of each place that a fold may train in; none where there is no GPU.
    """

    at_once: int
    threads: tuple[int, ...]
    devices: tuple[str, ...] = ()


def schedule(config: TrainConfig, folds: int, machine: Machine, *, image_size: int, at_once: int = 0) -> Schedule:
    """Plan the folds.

    Args:
        config: recipe; `threads` and `processes` are those of one fold.
        folds: how many.
        machine: what they may use.
        image_size: pixels of both sides.
        at_once: how many train at the same time; 0: as many as CPUs, GPUs and memory allow.
    """
    processes = 1 if config.strategy == "single" else config.processes
    images = config.batch_size // config.accumulate  # of all processes of a fold together
    by_memory = machine.memory // (_LIBRARY_BYTES * processes + _BYTES_PER_PIXEL * images * image_size**2)
    gpus = 0 if config.accelerator == "cpu" else machine.gpus
    by_compute = gpus // processes if gpus else machine.cpus // max(config.threads, processes)
    at_once = min(folds, at_once or max(1, min(by_compute, by_memory)))
    last = folds % at_once  # those of the last round are fewer, and share all CPUs
    beside = [at_once] * (folds - last) + [last] * last
    threads = tuple(config.threads or max(processes, machine.cpus // others) for others in beside)
    return Schedule(at_once, threads, tuple(_devices(place, processes, gpus) for place in range(at_once)))


def _devices(place: int, processes: int, gpus: int) -> str:
    """The GPUs of one place; empty where there is none."""
    return ",".join(str((place * processes + number) % gpus) for number in range(processes)) if gpus else ""


def _free_memory() -> int:
    """Bytes that can be had without swapping, in the container and on the machine."""
    available = int(psutil.virtual_memory().available)
    limit, used = CGROUP_ROOT / "memory.max", CGROUP_ROOT / "memory.current"
    text = limit.read_text().strip() if limit.is_file() else "max"
    return min(available, int(text) - int(used.read_text())) if text.isdecimal() else available
