"""Compile a pipeline to the YAML that Kubeflow reads. Nothing of a run, a commit or a clock goes into it."""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path
from typing import Any

import yaml
from kfp import compiler

from secondread import __version__
from secondread.atomic import atomic_file
from secondread.errors import InputError

# Each with its last step: a run that did not come to it was refused by a gate.
LAST_STEPS = {"data": "publish", "train": "register", "retrain": "register"}


def find_pipeline(name: str) -> Any:
    """A pipeline by its name, which is its module's and its function's.

    Raises:
        InputError: there is none of that name.
    """
    if name not in LAST_STEPS:
        raise InputError(f"there is no pipeline '{name}'. There are: {', '.join(LAST_STEPS)}.")
    return getattr(importlib.import_module(f"secondread_pipelines.{name}"), name)


def compiled_name(name: str) -> str:
    """File name of a compiled pipeline, with the version that its container images have."""
    return f"{name}-{__version__}.yaml"


def compile_pipeline(name: str, *, caching: bool = True) -> str:
    """The YAML of a pipeline. The same code gives the same bytes.

    Args:
        name: of the pipeline.
        caching: let Kubeflow take steps from its cache.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pipeline.yaml")
        compiler.Compiler().compile(find_pipeline(name), str(path))
        text = path.read_text(encoding="utf-8")
    return text if caching else _without_caching(text)


def _without_caching(text: str) -> str:
    """The same pipeline, no step of which is taken from a cache.

    KFP's own `enable_caching` of a run has no effect on a version that was uploaded, nor on a step inside a condition.
    """
    documents = list(yaml.safe_load_all(text))
    spec = documents[0]
    for component in (spec["root"], *spec["components"].values()):
        for task in component.get("dag", {}).get("tasks", {}).values():
            task["cachingOptions"] = {}  # which means no
    return yaml.safe_dump_all(documents)


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
