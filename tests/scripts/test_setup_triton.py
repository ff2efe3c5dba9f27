"""The script that makes the local Triton's environment."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "setup-triton.sh"
PINS = ROOT / "requirements-triton.txt"
SOURCE = ROOT / "secondread/serving/local/triton_backend/onnxruntime.cc"


def run(script: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(script)], capture_output=True, text=True, timeout=60, env={**os.environ, **variables})


def test_a_second_run_does_nothing() -> None:
    done = run(SCRIPT)
    assert (done.returncode, done.stdout) == (0, "setup-triton: .venv-triton is up to date\n"), done.stderr


@pytest.mark.parametrize(("variable", "command"), [("PYTHON", "no-such-python"), ("CXX", "no-such-compiler")])
def test_a_missing_command_is_said_and_nothing_is_made(tmp_path: Path, variable: str, command: str) -> None:
    for file in (SCRIPT, PINS, SOURCE):
        copy = tmp_path / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    done = run(tmp_path / SCRIPT.relative_to(ROOT), **{variable: command})
    assert done.returncode == 3
    assert f"{command} is missing" in done.stderr
    assert not (tmp_path / ".venv-triton").exists()


def test_what_is_evaluated_is_what_is_served() -> None:
    """Both environments run the same onnxruntime."""

    def version(file: Path) -> str:
        return next(line for line in file.read_text().splitlines() if line.startswith("onnxruntime=="))

    assert version(PINS) == version(ROOT / "constraints.txt")
