"""Compile a pipeline to the YAML that Kubeflow reads. Nothing of a run, a commit or a clock goes into it."""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path
from typing import Any

from kfp import compiler

from secondread import __version__
from secondread.atomic import atomic_file
from secondread.errors import InputError

PIPELINES = ("train",)


def find_pipeline(name: str) -> Any:
    """A pipeline by its name, which is its module's and its function's.

    Raises:
        InputError: there is none of that name.
    """
    if name not in PIPELINES:
        raise InputError(f"there is no pipeline '{name}'. There are: {', '.join(PIPELINES)}.")
    return getattr(importlib.import_module(f"secondread_pipelines.{name}"), name)


def compiled_name(name: str) -> str:
    """File name of a compiled pipeline, with the version that its container images have."""
    return f"{name}-{__version__}.yaml"


def compile_pipeline(name: str) -> str:
    """The YAML of a pipeline. The same code gives the same bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pipeline.yaml")
        compiler.Compiler().compile(find_pipeline(name), str(path))
        return path.read_text(encoding="utf-8")


def write_compiled(name: str, folder: Path) -> Path:
    """Compile a pipeline into a folder.

    Returns:
        The path of the YAML.
    """
    path = folder / compiled_name(name)
    text = compile_pipeline(name)
    with atomic_file(path) as aside:
        aside.write_text(text, encoding="utf-8")
    return path
