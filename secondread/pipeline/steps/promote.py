"""Step: that a version that passed every stage is what the registry calls champion and what answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from secondread.config.control import ControlConfig
from secondread.config.mapping import from_mapping
from secondread.errors import GateRefused, IntegrityError
from secondread.pipeline.steps.begin import begin, stated
from secondread.pipeline.steps.begin_rollout import begun
from secondread.pipeline.success import recorded, write_success
from secondread.rollout.analysis.decision import Action


def promote(rollout: str, output: str, *, control: str) -> dict[str, Any]:
    """Look whether a version is what its rollout made it: whoever carried that on promoted it with its last decision.

    Args:
        rollout: what step `begin_rollout` wrote.
        output: folder to write; it holds the record alone.
        control: fields of `ControlConfig`, as JSON.
    Returns:
        `name`, `version`, `before`, `digest` and `storage_uri` of the champion.
    """
    from secondread.rollout.controller.carry_on import open_splitter
    from secondread.tracking.registry import Registry

    environment, folder = begin(), Path(output)
    with recorded("promote", folder):
        record = begun(Path(rollout), environment)
        plan = record.plan
        if record.read().state.ended != Action.PROMOTE:  # whatever the pipeline's conditions did
            raise GateRefused(f"version {plan.candidate} of '{plan.name}' was not promoted by its rollout.")
        champion = Registry(environment.mlflow_tracking_uri).get(plan.name)
        answers = open_splitter(from_mapping(ControlConfig, stated(control, "control")), environment).read().stable
        if champion.version != plan.candidate or answers.digest != champion.digest:
            raise IntegrityError(
                f"version {plan.candidate} of '{plan.name}' was promoted, but the champion is version "
                f"{champion.version} by now, and what answers has digest {answers.digest[:12]}: somebody changed that "
                "since. See `secondread register list`."
            )
        facts = {
            "name": plan.name,
            "version": champion.version,
            "before": plan.stable,
            "digest": champion.digest,
            "storage_uri": champion.storage_uri,
        }
        folder.mkdir(parents=True, exist_ok=True)
        write_success(folder, step="promote", inputs={"rollout": Path(rollout)}, facts=facts)
    return facts
