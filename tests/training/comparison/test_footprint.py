"""Memory of a process and all that descend from it."""

from __future__ import annotations

import subprocess
import sys

from secondread.training.comparison.footprint import resident_bytes

HELD = 120_000_000
HOLD = f"held = bytearray(b'1' * {HELD}); print('ready', flush=True); input()"
BEGIN = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HOLD!r}])"


def test_what_a_grandchild_holds_is_counted_and_nothing_is_when_all_have_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", BEGIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert HELD < resident_bytes(process.pid) < 2 * HELD
        process.communicate(b"\n")
    assert resident_bytes(process.pid) == 0
