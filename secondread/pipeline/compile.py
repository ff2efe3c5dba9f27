"""Compile a pipeline to the YAML that Kubeflow reads. Nothing of a run, a commit or a clock goes into it."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from kfp import compiler

from secondread import __version__
from secondread.atomic import atomic_file
from secondread.config.trainjob import TrainJobSettings
from secondread.errors import InputError


@dataclass(frozen=True)
class TrainingVolume:
    """A volume that the train step shares with the nodes of `ray` and `trainjob`, and keeps checkpoints on.

    Attributes:
        claim: name of the PersistentVolumeClaim.
        gpu: resource name of what each node of `trainjob` asks for; empty for none.
        node_labels: of those nodes.
        mount: where it is mounted.
    """

    claim: str
    gpu: str = ""
    node_labels: Mapping[str, str] = field(default_factory=dict)
    mount: str = TrainJobSettings.mount

    def variables(self) -> dict[str, str]:
        """What the step reads of it: see `TrainJobSettings`."""
        labels = ",".join(f"{name}={value}" for name, value in self.node_labels.items())
        variables = {"CLAIM": self.claim, "MOUNT": self.mount, "GPU": self.gpu, "NODE_LABELS": labels}
        return {f"SECONDREAD_TRAINJOB_{name}": value for name, value in variables.items() if value}


# Each with its last step: a run that did not come to it was refused by a gate. Of one that ends in the deployment
# pipeline it is that pipeline's.
LAST_STEPS = {
    "data": "publish",
    "train": "register",
    "retrain": "register",
    "deploy": "promote",
    "batch-score": "deliver",
}


def last_step(name: str, arguments: Mapping[str, Any]) -> str:
    """That of a run with these arguments."""
    return LAST_STEPS["deploy" if arguments.get("deploy") else name]


def find_pipeline(name: str) -> Any:
    """A pipeline by its name, which is its module's and its function's, with dashes.

    Raises:
        InputError: there is none of that name.
    """
    if name not in LAST_STEPS:
        raise InputError(f"there is no pipeline '{name}'. There are: {', '.join(LAST_STEPS)}.")
    module = name.replace("-", "_")
    return getattr(importlib.import_module(f"secondread_pipelines.{module}"), module)


def uncached_tasks(name: str) -> dict[str, str]:
    """What is shown of the tasks of a pipeline that are never taken from a cache, by the name of their component."""
    spec = find_pipeline(name).pipeline_spec
    tasks = [task for each in (spec.root, *spec.components.values()) for task in each.dag.tasks.values()]
    return {
        task.component_ref.name.removeprefix("comp-"): task.task_info.name
        for task in tasks
        if not task.caching_options.enable_cache
    }


def compiled_name(name: str) -> str:
    """File name of a compiled pipeline, with the version that its container images have."""
    return f"{name}-{__version__}.yaml"


def compile_pipeline(name: str, *, caching: bool = True, volume: TrainingVolume | None = None) -> str:
    """The YAML of a pipeline. The same code gives the same bytes.

    Args:
        name: of the pipeline.
        caching: let Kubeflow take steps from its cache.
        volume: that the train step mounts; None for none.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pipeline.yaml")
        compiler.Compiler().compile(find_pipeline(name), str(path))
        text = path.read_text(encoding="utf-8")
    if caching and volume is None:
        return text
    documents = list(yaml.safe_load_all(text))
    if not caching:
        _without_caching(documents[0])
    if volume is not None:
        _with_volume(documents[0], documents[1], volume)
    return yaml.safe_dump_all(documents)


def _without_caching(spec: dict[str, Any]) -> None:
    """Let no step be taken from a cache.

    KFP's own `enable_caching` of a run has no effect on a version that was uploaded, nor on a step inside a condition.
    """
    for component in (spec["root"], *spec["components"].values()):
        for task in component.get("dag", {}).get("tasks", {}).values():
            task["cachingOptions"] = {}  # which means no


def _with_volume(spec: dict[str, Any], platform: dict[str, Any], volume: TrainingVolume) -> None:
    """Mount a volume in the train step, and tell the step of it.

    Kubeflow's driver refuses a claim whose name is empty, so it cannot be a parameter of a pipeline that also runs
    without one. The entries are those that `kubernetes.mount_pvc` and `set_env_variable` make.
    """
    container = spec["deploymentSpec"]["executors"]["exec-train"]["container"]
    variables = {"SECONDREAD_TRAINJOB_IMAGE": container["image"], **volume.variables()}
    container["env"] = [{"name": name, "value": value} for name, value in variables.items()]
    pod = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-train"]
    claim = {"runtimeValue": {"constant": volume.claim}}
    pod["pvcMount"] = [{"constant": volume.claim, "mountPath": volume.mount, "pvcNameParameter": claim}]


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
