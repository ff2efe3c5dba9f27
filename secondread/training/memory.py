"""How much memory this process has held at most, and whether an error is that there was no more."""

from __future__ import annotations

from pathlib import Path

import torch

_KIBIBYTE, _MEGABYTE = 1024, 1_000_000


def peak_memory_megabytes(status: Path = Path("/proc/self/status")) -> float:
    """Most memory that this process held since it was started, in megabytes of 10^6 bytes.

    Not `getrusage`, whose figure begins with that of whoever started the process.
    """
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * _KIBIBYTE / _MEGABYTE


def peak_gpu_memory_megabytes(device: torch.device) -> float:
    """Most memory that tensors of this process took on a GPU, in megabytes of 10^6 bytes; 0 on another device."""
    return torch.cuda.max_memory_allocated(device) / _MEGABYTE if device.type == "cuda" else 0.0


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch or ONNX Runtime got no memory, of the GPU or of the machine; on CPUs they raise plain errors."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(said in str(error) for said in ("DefaultCPUAllocator", "Failed to allocate memory", "bad_alloc"))
