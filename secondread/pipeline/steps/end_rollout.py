"""Step: the exit handler of a deployment. What its run began and left undecided is rolled back."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from secondread.config.control import ControlConfig
from secondread.config.mapping import from_mapping
from secondread.errors import DependencyError
from secondread.pipeline.steps.begin import begin, stated
from secondread.pipeline.steps.begin_rollout import actor_of, begun_by
from secondread.pipeline.success import recorded, write_success
from secondread.rollout.analysis.decision import Action
from secondread.rollout.controller.attend import attend
from secondread.rollout.record.phases import Phase, decided
from secondread.rollout.record.record import RolloutRecord, Word

TIMELINE_FILE = "timeline.html"
_OBEY_SECONDS = 300.0  # for whoever carries it on, at most: a look at a slow Prometheus takes some minutes


def end_rollout(output: str, *, name: str, control: str, state: str, pipeline_run: str = "") -> dict[str, Any]:
    """Roll back what this run began and what has not ended, and write what came of it.

    Args:
        output: folder to write: the timeline, if a rollout was begun.
        name: of the model.
        control: fields of `ControlConfig`, as JSON.
        state: how the run ended, as the runner sees it, such as `SUCCEEDED`.
        pipeline_run: id of the run that this step belongs to; a local runner says it in the environment.
    Returns:
        `rollout` (its number; 0: the run began none), `ended` (how), the `stage` and `reason` of the last decision,
        `stable` and `candidate`, and `conclusion`, a sentence.
    """
    environment, folder = begin(), Path(output)
    with recorded("end rollout", folder):
        actor = actor_of(environment, pipeline_run)
        record = begun_by(actor, name, environment)
        if record and not record.read().state.ended:
            config = from_mapping(ControlConfig, stated(control, "control"))
            reason = f"the run ended as {state} before the rollout had"
            # to the stable version by name: of a promotion that was cut, half may be done
            record.say(Word("roll_back", actor, reason, to=record.plan.stable))
            attend(record, _obeyed(record, time.time() + _OBEY_SECONDS), config=config, environment=environment)
        facts = _facts(record)
        facts["conclusion"] = _conclusion(name, facts)
        folder.mkdir(parents=True, exist_ok=True)
        if record:
            from secondread.rollout.view.page import timeline_page

            (folder / TIMELINE_FILE).write_text(timeline_page(record), encoding="utf-8")
        write_success(folder, step="end_rollout", inputs={}, facts=facts)
    return facts


def _obeyed(record: RolloutRecord, until: float) -> Callable[[], bool]:
    """Whether the word is obeyed; asked again after that time, it raises."""

    def over() -> bool:
        if record.word() is None and record.read().intent is None:
            return True
        if time.time() > until:
            raise DependencyError(
                f"to roll back is kept and not done after {_OBEY_SECONDS:.0f} s: `secondread rollout control` goes on "
                "with it. `secondread rollout status` says why."
            )
        return False

    return over


def _facts(record: RolloutRecord | None) -> dict[str, Any]:
    if record is None:
        return {"rollout": 0, "ended": "", "stage": "", "reason": "", "stable": 0, "candidate": 0}
    plan, state, last = record.plan, record.read().state, decided(Phase.WHOLE, record)
    return {
        "rollout": int(record.folder.name),
        "ended": state.ended,
        "stage": plan.policy.stages[state.stage].name,
        "reason": last.reason if last else "",
        "stable": plan.stable,
        "candidate": plan.candidate,
    }


def _conclusion(name: str, facts: Mapping[str, Any]) -> str:
    if not facts["rollout"]:
        return f"This run began no rollout of {name}."
    done = "is champion" if facts["ended"] == Action.PROMOTE else f"was rolled back in stage {facts['stage']}"
    return f"Version {facts['candidate']} of {name} {done}: {facts['reason']}"
