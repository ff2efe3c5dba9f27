"""What a training runs on, as text for people: processor, memory, limits of the container, GPUs, builds."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

import secondread
from secondread.cpus import CGROUP_ROOT, cpu_limit

DEVICE_FILE = "gpu-info.txt"  # the name that people look for, also where there is no GPU

_GIBIBYTE = 1 << 30
_TOOLS = (("nvidia-smi",), ("rocm-smi", "--showproductname", "--showmeminfo", "vram", "--showdriverversion"))
_TOOL_SECONDS = 20.0


def device_report() -> str:
    """One section each for the machine, the libraries, and every GPU that PyTorch or the driver's own tool sees."""
    sections = {
        "machine": _machine(),
        "libraries": _libraries(),
        "GPUs": _gpus(),
        "capabilities": _capabilities(),
        **{command[0]: _output(command) for command in _TOOLS if shutil.which(command[0])},
    }
    return "\n\n".join("\n".join((f"# {title}", *lines)) for title, lines in sections.items()) + "\n"


def _machine() -> Iterator[str]:
    yield f"processor: {_processor()}"
    yield f"CPUs: {os.cpu_count()} of the machine, {cpu_limit()} for this process"
    yield f"memory: {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / _GIBIBYTE:.1f} GiB of the machine"
    for file in ("cpu.max", "memory.max", "cpu/cpu.cfs_quota_us", "memory/memory.limit_in_bytes"):
        path = CGROUP_ROOT / file
        if path.is_file():
            yield f"limit of the container, {file}: {path.read_text().strip()}"
    shared = shutil.disk_usage("/dev/shm") if Path("/dev/shm").is_dir() else None  # noqa: S108 - its size
    yield f"shared memory: {shared.total / _GIBIBYTE:.2f} GiB" if shared else "shared memory: none"
    yield f"system: {platform.platform()}"


def _processor() -> str:
    """The processor's name; its architecture where Linux does not tell."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _libraries() -> Iterator[str]:
    yield f"secondread {secondread.__version__}, Python {platform.python_version()}, numpy {np.__version__}"
    yield f"torch {torch.__version__}, CUDA {torch.version.cuda}, ROCm {torch.version.hip}"
    yield f"threads of torch: {torch.get_num_threads()}"
    yield from torch.__config__.show().strip().splitlines()


def _gpus() -> Iterator[str]:
    if not torch.cuda.is_available():
        yield "PyTorch sees none"
        return
    for index in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(index)
        yield (
            f"{index}: {found.name}, {found.total_memory / _GIBIBYTE:.1f} GiB, {found.multi_processor_count} "
            f"multiprocessors, capability {found.major}.{found.minor}"
        )
    yield f"cuDNN or MIOpen {torch.backends.cudnn.version()}"  # type: ignore[no-untyped-call]


def _capabilities() -> Iterator[str]:
    known = torch.cpu.get_capabilities()
    yield f"of the processor: {', '.join(sorted(name for name, there in known.items() if there is True))}"
    if torch.cuda.is_available():
        yield f"of the GPU: bf16 {'yes' if torch.cuda.is_bf16_supported(including_emulation=False) else 'no'}"


def _output(command: tuple[str, ...]) -> Iterator[str]:
    """What the driver's tool says, or why it says nothing: a report is no reason to stop."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TOOL_SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        yield str(error)
    else:
        yield (done.stdout or done.stderr).rstrip()
