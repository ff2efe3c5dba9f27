"""What a training ran on, and the memory it took."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from secondread.cpus import cpu_limit
from secondread.training.device import device_report
from secondread.training.memory import peak_gpu_memory_megabytes, peak_memory_megabytes


def test_the_report_names_processor_limits_libraries_and_gpus() -> None:
    report = device_report()
    assert f"CPUs: {os.cpu_count()} of the machine, {cpu_limit()} for this process" in report
    assert f"torch {torch.__version__}" in report
    assert "BLAS" in report
    assert torch.cuda.is_available() or "# GPUs\nPyTorch sees none" in report
    found = torch.cpu.get_capabilities()
    assert all(name in report for name in ("avx2", "avx512_bf16") if found.get(name))


@pytest.mark.parametrize(
    ("script", "shown"),
    [("echo Driver Version: 1.2", "Driver Version: 1.2"), ("echo no device >&2; exit 9", "no device")],
)
def test_the_drivers_own_tool_is_asked_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, shown: str
) -> None:
    tool = tmp_path / "rocm-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert f"# rocm-smi\n{shown}\n" in device_report()


def test_the_peak_is_the_processs_own_and_stays_when_memory_is_given_back() -> None:
    script = (
        "from secondread.training.memory import peak_memory_megabytes as peak\n"
        "before = peak()\nheld = bytearray(300_000_000)\ndel held\nprint(before, peak())"
    )
    ballast = bytearray(600_000_000)  # of the one who starts it: no part of its peak
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    before, after = map(float, done.stdout.split())
    assert before < len(ballast) / 1e6
    assert after - before == pytest.approx(300, abs=20)
    assert peak_memory_megabytes() > 600


def test_without_a_gpu_no_gpu_memory_is_held() -> None:
    assert peak_gpu_memory_megabytes(torch.device("cpu")) == 0
