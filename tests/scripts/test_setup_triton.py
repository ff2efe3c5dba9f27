"""The script that makes the local Triton's environment."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "setup-triton.sh"
PINS = ROOT / "requirements-triton.txt"


def run(script: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(script)], capture_output=True, text=True, timeout=60, env={**os.environ, **variables})


def test_a_second_run_does_nothing() -> None:
    done = run(SCRIPT)
    assert (done.returncode, done.stdout) == (0, "setup-triton: .venv-triton is up to date\n"), done.stderr


def test_a_missing_python_is_said_and_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    shutil.copy(SCRIPT, tmp_path / "scripts")
    shutil.copy(PINS, tmp_path)
    done = run(tmp_path / "scripts" / SCRIPT.name, PYTHON="no-such-python")
    assert done.returncode == 3
    assert "no-such-python is missing" in done.stderr
    assert not (tmp_path / ".venv-triton").exists()


def test_what_is_evaluated_is_what_is_served() -> None:
    """Both environments run the same onnxruntime."""

    def version(file: Path) -> str:
        return next(line for line in file.read_text().splitlines() if line.startswith("onnxruntime=="))

    assert version(PINS) == version(ROOT / "constraints.txt")
