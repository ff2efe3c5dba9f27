"""What one network is slowed down by must not decide which one is faster."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from benchmarks.workplace import ROOT

SCRIPT = """
import resource
import numpy as np
from benchmarks.allocator import freed_memory_kept

def faults(size):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(size, dtype=np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults(2**27)
print(faults(2**27))
with freed_memory_kept():
    faults(2**27)
    print(faults(2**27))
faults(2**29)  # more than what is still kept
print(faults(2**29))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_a_large_block_comes_from_the_kernel_each_time_but_only_once_while_freed_memory_is_kept() -> None:
    # in a process of its own: what ran before in this one has divided its memory. And of numpy's blocks, which lie
    # where malloc puts them: torch moves them to the next multiple of 64, so that a block may not fit its own place
    told = subprocess.run([sys.executable, "-c", SCRIPT], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    before, kept, after = map(int, told.split())
    assert before > 100
    assert kept < before / 10
    assert after > 100
