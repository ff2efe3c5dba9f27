"""Which machine this is, for figures that hang on it."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

from secondread.cpus import cpu_limit

CPU_INFO = Path("/proc/cpuinfo")
# What decides how fast 8-bit products are; a figure timed with some of these says little about a machine without.
_TELLING_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx_vnni_int8", "amx_int8", "asimddp", "i8mm")


@dataclass(frozen=True)
class Machine:
    """Where something was timed.

    Attributes:
        cpu: model name.
        flags: instruction sets that matter for 8-bit arithmetic.
        threads: that one run may use.
    """

    cpu: str
    flags: tuple[str, ...]
    threads: int

    def __str__(self) -> str:
        flags = ", ".join(self.flags) or "no vector instructions that are known here"
        return f"{self.cpu} ({flags}), {self.threads} {'thread' if self.threads == 1 else 'threads'}"


def this_machine(*, threads: int = 0, cpu_info: Path = CPU_INFO) -> Machine:
    """Describe the machine.

    Args:
        threads: of one run; 0: the CPUs of the container.
        cpu_info: the kernel's description of the CPUs, where there is one.
    """
    fields: dict[str, str] = {}
    if cpu_info.is_file():
        for line in cpu_info.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            fields.setdefault(name.strip().lower(), value.strip())
    words = set((fields.get("flags") or fields.get("features", "")).split())
    return Machine(
        cpu=fields.get("model name") or platform.processor() or platform.machine(),
        flags=tuple(flag for flag in _TELLING_FLAGS if flag in words),
        threads=threads or cpu_limit(),
    )
