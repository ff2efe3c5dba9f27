"""Step: let the registry know of a gate's refusal, where it has the model already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from secondread.atomic import read_json, sha256_file
from secondread.errors import IntegrityError
from secondread.logging import get_logger
from secondread.model.folder import ModelFolder
from secondread.pipeline.steps.begin import begin
from secondread.pipeline.success import SUCCESS_FILE, recorded, verify_success, write_success
from secondread.tracking.gate_tags import refusal_tags
from secondread.tracking.origin import Origin

log = get_logger(__name__)


def refuse(model: str, judgement: str, output: str, *, name: str) -> dict[str, Any]:
    """Give the versions of a model the verdict of the gate that refused it.

    A policy that got stricter is asked of a model that is registered, when its run is repeated: without this the
    version would keep the verdict of the looser one, and could be promoted by it.

    Args:
        model: model folder that was judged.
        judgement: what evaluate or compare wrote of it.
        output: folder to write; it holds the record alone.
        name: in the registry.
    Returns:
        `versions` that have the verdict now: of that digest; where val refused, all of that training.
    """
    from secondread.tracking.registry import Registry

    environment, folder, judged = begin(), Path(output), Path(judgement)
    with recorded("refuse", folder):
        verdict = verify_success(judged, step=None)
        inputs = read_json(judged / SUCCESS_FILE)["inputs"]
        if sha256_file(Path(model) / SUCCESS_FILE) not in (inputs.get("model"), inputs.get("challenger")):
            raise IntegrityError(f"{judged} judges another model than {model}. Name what evaluate wrote of that one.")
        if verdict["passed"]:
            raise IntegrityError(f"{judged} is no refusal: the gate said yes. Register the model.")
        early = verdict.get("split") == "val"  # of a graph before quantization, which may have another digest
        versions = Registry(environment.mlflow_tracking_uri).refuse(
            name,
            refusal_tags(verdict),
            digest=ModelFolder.open(model).digest(),
            run_id=Origin.read(Path(model)).run_id if early else "",
        )
        for version in versions:
            log.warning("version %d of '%s' is registered, and was refused now: it says so", version, name)
        folder.mkdir(parents=True, exist_ok=True)
        facts = {"versions": list(versions)}
        write_success(folder, step="refuse", inputs={"model": Path(model), "judgement": judged}, facts=facts)
    return facts
