"""Step: put a model that passed its gate into the registry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from secondread.atomic import read_json, sha256_file
from secondread.config.register import RegisterConfig
from secondread.errors import GateRefused, IntegrityError
from secondread.model.folder import ModelFolder
from secondread.pipeline.object_uri import object_uri
from secondread.pipeline.steps.begin import begin
from secondread.pipeline.success import SUCCESS_FILE, recorded, verify_success, write_success
from secondread.pipeline.tags import model_tags, verdict_tags


def register(
    model: str, evaluation: str, output: str, *, output_uri: str, name: str, root: str, pipeline_run: str = ""
) -> dict[str, Any]:
    """Register a model that passed its gate on test. Doing it again mends what is damaged and makes no new version.

    Args:
        model: model folder that quantize wrote.
        evaluation: what evaluate wrote for exactly that model on test.
        output: folder to write; it holds the Triton repository where `root` is empty.
        output_uri: what others reach `output` by.
        name: in the registry and in Triton.
        root: folder for `<name>/<digest>/`.
        pipeline_run: id of the run that this step belongs to; a local runner says it in the environment.
    Returns:
        `name`, `version`, `alias`, `digest`, `storage_uri`.
    """
    from secondread.tracking.origin import Origin
    from secondread.tracking.registry import Registry

    environment, folder, judged = begin(), Path(output), Path(evaluation)
    with recorded("register", folder):
        config = RegisterConfig(name=name, root=root)
        verify_success(Path(model), step="quantize")
        verdict = verify_success(judged, step="evaluate")
        _check_verdict(Path(model), judged, verdict)
        folder.mkdir(parents=True, exist_ok=True)
        opened = ModelFolder.open(model)
        registered = Registry(environment.mlflow_tracking_uri).register(
            opened,
            name=config.name,
            root=Path(config.root) if config.root else folder,
            root_uri="" if config.root else object_uri(output_uri),
            tags={
                **model_tags(opened, environment),
                **verdict_tags(verdict),
                "pipeline_run": environment.pipeline_run or pipeline_run,
            },
            origin=Origin.read(opened.root),
        )
        facts = asdict(registered)
        write_success(folder, step="register", inputs={"model": Path(model), "evaluation": judged}, facts=facts)
    return facts


def _check_verdict(model: Path, judged: Path, verdict: Mapping[str, Any]) -> None:
    """Refuse a model whose own evaluation on test is missing or says no, whatever the pipeline's conditions did."""
    inputs = read_json(judged / SUCCESS_FILE)["inputs"]
    if verdict["split"] != "test" or inputs["model"] != sha256_file(model / SUCCESS_FILE):
        raise IntegrityError(
            f"{judged} is no evaluation of {model} on test. Evaluate the model that is to be registered."
        )
    if not verdict["passed"]:
        raise GateRefused(f"the gate on test refused this model: {'; '.join(verdict['reasons'])}.")
