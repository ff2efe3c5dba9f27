"""Memory that tensors free is kept for the next ones, for the sake of the networks that are measured against."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

from secondread.logging import get_logger

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4  # mallopt(3)
_KEEP = {_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1, _TOP_PAD: 2**28}
# glibc's own, with the thresholds that it comes to by itself in a process that has freed a large block
_USUAL = {_MMAP_MAX: 2**16, _TRIM_THRESHOLD: 2**26, _TOP_PAD: 2**17, _MMAP_THRESHOLD: 2**25}

log = get_logger(__name__)


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Have glibc keep freed blocks of any size until the block ends.

    Usually each block above 32 MiB comes from the kernel anew, filled with zeros page by page. The seed's network,
    whose attention needs gigabytes a step, is half as fast for it; ours has few such blocks. Where the C library is
    another one, nothing is changed.
    """
    if not _set(_KEEP):
        log.warning("this C library cannot be told to keep freed memory: large networks are slower for it")
    try:
        yield
    finally:
        _set(_USUAL)


def _set(options: dict[int, int]) -> bool:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(name, value) for name, value in options.items())
