"""Step: a rollout until a phase is passed, carried on here where nobody else does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from secondread.config.control import ControlConfig
from secondread.config.mapping import from_mapping
from secondread.config.require import require
from secondread.pipeline.steps.begin import begin, stated
from secondread.pipeline.steps.begin_rollout import begun
from secondread.pipeline.success import recorded, write_success
from secondread.rollout.controller.attend import attend
from secondread.rollout.record.phases import Phase, decided, passed
from secondread.rollout.record.record import RolloutRecord

REPORT_FILE = "report.html"


def rollout_stage(rollout: str, output: str, *, stage: str, control: str) -> dict[str, Any]:
    """Stay with a rollout until a phase is passed or the rollout has ended. A rollback is an answer, not a failure.

    In a local run it is stayed with until it has ended.

    Args:
        rollout: what step `begin_rollout` wrote.
        output: folder to write: the page of the rollout so far, or of the load test.
        stage: a `Phase`.
        control: fields of `ControlConfig`, as JSON.
    Returns:
        `passed`, and the `reason` and `figures` of the last decision in this phase.
    """
    environment, folder = begin(), Path(output)
    with recorded(stage, folder):
        require(stage in list(Phase), f"stage must be one of {', '.join(Phase)}, not '{stage}'.")
        phase, record = Phase(stage), begun(Path(rollout), environment)
        config = from_mapping(ControlConfig, stated(control, "control"))
        # A local runner runs one step after the other: the first one goes on to the end, so that no request is shared
        # unwatched while the next one starts.
        awaited = Phase.WHOLE if environment.pipeline_run else phase
        attend(record, lambda: passed(awaited, record) is not None, config=config, environment=environment)
        last = decided(phase, record)
        facts = {
            "passed": bool(passed(phase, record)),
            "reason": last.reason if last else "",
            "figures": last.figures if last else {},
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / REPORT_FILE).write_text(_page(phase, record), encoding="utf-8")
        write_success(folder, step=stage, inputs={"rollout": Path(rollout)}, facts=facts)
    return facts


def _page(phase: Phase, record: RolloutRecord) -> str:
    if phase is Phase.LOAD_TEST:
        from secondread.rollout.controller.checks import LOAD_TEST, PAGE_FILE  # it imports MLflow, which takes seconds

        page = record.folder / "checks" / LOAD_TEST / PAGE_FILE
        if page.is_file():
            return page.read_text(encoding="utf-8")
    from secondread.rollout.view.page import timeline_page

    return timeline_page(record)
