"""How a process is started that is to have its memory in large pages."""

import os
import subprocess
import sys

from secondread.huge_pages import SETTING, VARIABLE, huge_pages

# a hundred megabytes that are written to, and how much of the process then lies in huge pages, in KiB
_PROGRAM = """
import numpy
numpy.ones(100 << 20, numpy.uint8)
held = numpy.ones(100 << 20, numpy.uint8)
rollup = open("/proc/self/smaps_rollup").read()
print(next(line.split()[1] for line in rollup.splitlines() if line.startswith("AnonHugePages")))
"""


def test_what_the_variable_says_already_is_kept() -> None:
    assert huge_pages({}) == {VARIABLE: SETTING}
    assert huge_pages({VARIABLE: "glibc.malloc.tcache_count=0"}) == {VARIABLE: f"glibc.malloc.tcache_count=0:{SETTING}"}


def test_who_chose_otherwise_has_the_last_word() -> None:
    chosen = {VARIABLE: "glibc.malloc.hugetlb=0"}
    assert huge_pages(chosen) == chosen


def test_a_process_started_so_has_most_of_its_memory_in_large_pages() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], env={**os.environ, **huge_pages({})}, capture_output=True, check=True
    )
    assert int(done.stdout) > 90 << 10
