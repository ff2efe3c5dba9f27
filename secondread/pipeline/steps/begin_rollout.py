"""Step: begin a rollout of a version that was verified, or go on with the one that this run began."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from secondread.config.control import ControlConfig
from secondread.config.environment import Environment
from secondread.config.mapping import from_mapping
from secondread.config.rollout import RolloutConfig
from secondread.errors import IntegrityError
from secondread.pipeline.steps.begin import begin, stated
from secondread.pipeline.success import recorded, verify_success, write_success
from secondread.rollout.record.home import Rollouts
from secondread.rollout.record.record import RolloutRecord


def begin_rollout(
    verified: str, output: str, *, policy: str, control: str, reason: str, pipeline_run: str = ""
) -> dict[str, Any]:
    """Begin it. Nothing is deployed yet: whoever carries it on does.

    Args:
        verified: what step `verify` wrote.
        output: folder to write; it holds the record of the step alone, not that of the rollout.
        policy: fields of `RolloutConfig`, as JSON.
        control: fields of `ControlConfig`, as JSON.
        reason: why the version is let in.
        pipeline_run: id of the run that this step belongs to; a local runner says it in the environment.
    Returns:
        `name`, `rollout` (its number), `stable` and `candidate`.
    """
    from secondread.rollout.controller.carry_on import begin as begin_new

    environment, folder = begin(), Path(output)
    with recorded("begin rollout", folder):
        known = verify_success(Path(verified), step="verify")
        actor = actor_of(environment, pipeline_run)
        record = begun_by(actor, known["name"], environment) or begin_new(
            str(known["version"]),
            name=known["name"],
            policy=from_mapping(RolloutConfig, stated(policy, "policy"), stage="policy"),
            config=from_mapping(ControlConfig, stated(control, "control")),
            environment=environment,
            actor=actor,
            reason=reason,
            now=time.time(),
        )
        plan = record.plan
        facts = {
            "name": plan.name,
            "rollout": int(record.folder.name),
            "stable": plan.stable,
            "candidate": plan.candidate,
        }
        folder.mkdir(parents=True, exist_ok=True)
        write_success(folder, step="begin_rollout", inputs={"verified": Path(verified)}, facts=facts)
    return facts


def actor_of(environment: Environment, pipeline_run: str) -> str:
    """Who begins a rollout in a run; by this a run knows its own again."""
    return f"pipeline run {environment.pipeline_run or pipeline_run}"


def begun_by(actor: str, name: str, environment: Environment) -> RolloutRecord | None:
    """The newest rollout of a model, if that actor began it."""
    records = Rollouts(environment.home).all(name)
    return records[-1] if records and records[-1].plan.actor == actor else None


def begun(step: Path, environment: Environment) -> RolloutRecord:
    """The rollout that step `begin_rollout` began.

    Raises:
        IntegrityError: it is not there.
    """
    facts = verify_success(step, step="begin_rollout")
    rollouts = {int(each.folder.name): each for each in Rollouts(environment.home).all(facts["name"])}
    if facts["rollout"] not in rollouts:
        raise IntegrityError(
            f"rollout {facts['rollout']} of '{facts['name']}' is not in {environment.home / 'rollouts'}, which all "
            "steps of a run and `secondread rollout control` must share: mount the same volume there."
        )
    return rollouts[facts["rollout"]]
