"""The Makefile on stand-ins for what it calls: what the scripts are given, and what is made again."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the Makefile, whose scripts and interpreters write down how they were called."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    backend = "secondread/serving/local/triton_backend/onnxruntime.cc"
    (tmp_path / backend).parent.mkdir(parents=True)
    pins = ("constraints.txt", "requirements-mlserver.txt", "requirements-peers.txt", "requirements-triton.txt")
    for name in ("setup.cfg", "pyproject.toml", *pins, backend):
        (tmp_path / name).touch()
    for name in ("scripts/demo.sh", "scripts/debian-packages.sh", "scripts/setup-triton.sh", "python"):
        command(tmp_path / name)
    (tmp_path / ".venv-triton").mkdir()
    return tmp_path


def command(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\nprintf \'[%s]\' {path.name} "$@" >>"$CALLS"; echo >>"$CALLS"\n')
    path.chmod(0o755)


def make(checkout: Path, *arguments: str) -> list[str]:
    """What was called, with the arguments each by itself."""
    calls = checkout / "calls.txt"
    calls.write_text("")
    variables = {key: value for key, value in os.environ.items() if not key.startswith("MAKE") and key != "DATA"}
    subprocess.run(
        ["make", f"PYTHON={checkout}/python", *arguments],
        cwd=checkout,
        env={**variables, "CALLS": str(calls)},
        check=True,
        capture_output=True,
    )
    return calls.read_text().splitlines()


def test_the_demo_is_given_the_folder_whatever_its_name(checkout: Path) -> None:
    command(checkout / ".venv/bin/python")
    command(checkout / ".venv/bin/pip")
    assert make(checkout, "demo", "DATA=my films/Ada's")[-1] == "[demo.sh][my films/Ada's]"
    assert make(checkout, "demo") == ["[demo.sh][phantom://demo]"]


@pytest.mark.parametrize("interrupted", [True, False])
def test_an_interrupted_environment_is_made_again_and_a_whole_one_is_not(checkout: Path, interrupted: bool) -> None:
    """An interpreter without pip is what an interrupted `python -m venv` leaves."""
    command(checkout / ".venv/bin/python")
    if not interrupted:
        command(checkout / ".venv/bin/pip")
    calls = make(checkout, ".venv/.installed")
    assert ("[python][-m][venv][--clear][.venv]" in calls) is interrupted
    assert any(call.startswith("[python][-m][pip][install]") for call in calls)
    assert make(checkout, ".venv/.installed") == []


def test_only_benchmarks_and_the_long_tests_make_the_environment_of_mlserver(checkout: Path) -> None:
    for name in ("python", "pip", "ruff", "lint-imports", "yamllint", "mypy"):
        command(checkout / ".venv/bin" / name)
    command(checkout / ".venv-mlserver/bin/python")
    make_it = "[python][-m][venv][--clear][.venv-mlserver]"
    assert make_it not in make(checkout, "test")
    calls = make(checkout, "bench", "KEY=serve.rate_vs_mlserver")
    assert make_it in calls
    assert calls[-1] == "[python][-m][benchmarks][--key][serve.rate_vs_mlserver]"
    assert make_it not in make(checkout, "test-full"), "it is there by now"


def test_notebooks_are_executed_in_place(checkout: Path) -> None:
    command(checkout / ".venv/bin/python")
    command(checkout / ".venv/bin/pip")
    (checkout / "notebooks").mkdir()
    (checkout / "notebooks" / "01-a.ipynb").touch()
    assert make(checkout, "notebooks")[-1] == "[python][scripts/execute_notebooks.py][notebooks/01-a.ipynb]"


def test_cleaning_leaves_keys_and_registered_models_unless_all_is_asked_for(checkout: Path) -> None:
    key = checkout / "var/keys/patient-1.key"
    key.parent.mkdir(parents=True)
    key.touch()
    make(checkout, "clean")
    assert key.exists()
    assert not (checkout / ".venv-triton").exists()
    make(checkout, "clean-all")
    assert not (checkout / "var").exists()
