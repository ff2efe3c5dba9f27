"""What one network is slowed down by must not decide which one is faster."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys

import pytest

from benchmarks.workplace import ROOT

SCRIPT = """
import resource
import torch
from benchmarks.allocator import freed_memory_kept

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(2**27, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with freed_memory_kept():
    faults()
    print(faults())
faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_a_large_block_comes_from_the_kernel_once_and_again_each_time_after_the_block_ends() -> None:
    # in a process of its own: what ran before in this one has divided its memory
    told = subprocess.run([sys.executable, "-c", SCRIPT], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    kept, usual = map(int, told.split())
    pages = 2**27 // resource.getpagesize()
    assert kept < pages / 10
    assert usual > pages / 10
