"""Step: put a model that passed its gate into the registry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondread.atomic import read_json, sha256_file
from secondread.config.register import RegisterConfig
from secondread.config.require import require
from secondread.errors import GateRefused, IntegrityError
from secondread.model.folder import ModelFolder
from secondread.pipeline.steps.begin import begin
from secondread.pipeline.steps.evaluate import tell_mlflow
from secondread.pipeline.success import SUCCESS_FILE, recorded, verify_success, write_success
from secondread.pipeline.tags import comparison_tags, model_tags, verdict_tags
from secondread.tracking.asked import Asked
from secondread.tracking.origin import Origin

if TYPE_CHECKING:
    # MLflow takes seconds to import, which the other steps should not pay
    from secondread.tracking.registry import RegisteredVersion


def register(
    model: str,
    evaluation: str,
    output: str,
    *,
    name: str,
    root: str,
    pipeline_run: str = "",
    comparison: str = "",
) -> dict[str, Any]:
    """Register a model that passed its gate on test. Doing it again mends what is damaged and makes no new version.

    Args:
        model: model folder that quantize wrote.
        evaluation: what evaluate wrote for exactly that model on test.
        output: folder to write, the record of the registration.
        name: in the registry and in Triton.
        root: folder, or URI of an object store, for `<name>/<digest>/`. Not the output: what a step leaves there is
            uploaded after the step, and until then the version would point to nothing.
        pipeline_run: id of the run that this step belongs to; a local runner says it in the environment.
        comparison: what compare wrote for exactly that model and the champion of now; empty where none is asked for.
    Returns:
        `name`, `version`, `alias`, `digest`, `storage_uri`.
    """
    from secondread.tracking.evaluated import card_uri
    from secondread.tracking.registry import Registry

    environment, folder, judged = begin(), Path(output), Path(evaluation)
    with recorded("register", folder):
        config = RegisterConfig(name=name, root=root)
        require(bool(config.root), "say where the model goes: root must be a folder, s3://bucket/prefix or swift://...")
        verify_success(Path(model), step="quantize")
        verdict = verify_success(judged, step="evaluate")
        _check_verdict(Path(model), judged, verdict)
        registry = Registry(environment.mlflow_tracking_uri)
        compared = _check_comparison(Path(model), Path(comparison), registry.get(name)) if comparison else None
        folder.mkdir(parents=True, exist_ok=True)
        opened, origin = ModelFolder.open(model), Origin.read(Path(model))
        # what MLflow was away for when it was found; it is there now, or registering fails
        told = verdict["mlflow_run"] or tell_mlflow(Path(model), judged, Asked(**verdict["asked"]), environment)
        registered = registry.register(
            opened,
            name=config.name,
            root=config.root,
            environment=environment,
            tags={
                **model_tags(opened, environment),
                **verdict_tags(verdict, card=card_uri(told) if told else ""),
                **(comparison_tags(compared) if compared else {}),
                "pipeline_run": environment.pipeline_run or pipeline_run,
            },
            origin=origin,
        )
        facts = asdict(registered)
        inputs = {"model": Path(model), "evaluation": judged}
        write_success(folder, step="register", inputs=inputs, facts=facts)
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


def _check_comparison(model: Path, comparison: Path, champion: RegisteredVersion) -> Mapping[str, Any]:
    """What a comparison of this model with the champion of now came to, if it says yes.

    Raises:
        IntegrityError: it is of another model, or of a champion that is none any more.
        GateRefused: it says no.
    """
    compared = verify_success(comparison, step="compare")
    if read_json(comparison / SUCCESS_FILE)["inputs"]["challenger"] != sha256_file(model / SUCCESS_FILE):
        raise IntegrityError(f"{comparison} is no comparison of {model}. Compare the model that is to be registered.")
    known = compared["champion"]
    if known["digest"] != champion.digest:
        raise IntegrityError(
            f"the challenger was compared with version {known['version']}, and version {champion.version} is champion "
            "by now. Start the run again; on a cluster without its cache (--no-cache)."
        )
    if not compared["passed"]:
        raise GateRefused(f"the comparison with the champion refused this model: {'; '.join(compared['reasons'])}.")
    return compared
