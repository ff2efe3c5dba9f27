"""YAML that people edit by hand passes yamllint."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def test_yamllint_has_nothing_to_say():
    folders = ["kserve", "manifests", ".github", ".pre-commit-config.yaml", ".yamllint"]
    command = [sys.executable, "-m", "yamllint", "--strict", *folders]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
