"""What a run of this machine that let a version in came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondread.errors import SecondReadError
from secondread.pipeline.cache import StepRun
from secondread.pipeline.run import run_steps, seconds_of
from secondread.pipeline.steps.end_rollout import TIMELINE_FILE
from secondread.rollout.analysis.decision import Action


@dataclass(frozen=True)
class Deployment:
    """What a rollout that a run began came to.

    Attributes:
        status: `promoted` or `rolled_back`.
        reason: of the last decision.
        stage: of the policy, in which it was taken.
        rollout: its number.
        stable: version that was champion before.
        candidate: version that was let in.
        timeline: its page.
    """

    status: str
    reason: str
    stage: str
    rollout: int
    stable: int
    candidate: int
    timeline: str

    @classmethod
    def of(cls, steps: Mapping[str, StepRun]) -> Deployment:
        """From the steps of a run.

        Raises:
            SecondReadError: they contradict each other.
        """
        ended = steps["end_rollout"]
        facts, promoted = ended.facts, "promote" in steps
        if promoted != (facts["ended"] == Action.PROMOTE):
            raise SecondReadError(f"the rollout {facts['conclusion']}, but the pipeline says else. Please report this.")
        return cls(
            status="promoted" if promoted else "rolled_back",
            **{name: facts[name] for name in ("reason", "stage", "rollout", "stable", "candidate")},
            timeline=str(Path(ended.outputs["ended"].path) / TIMELINE_FILE),
        )


@dataclass(frozen=True)
class DeployRun(Deployment):
    """What a run of the deployment pipeline gave.

    Attributes:
        seconds: by step; `every stage` has most of it.
    """

    seconds: Mapping[str, float]


def run_deployment(arguments: Mapping[str, Any], *, home: Path) -> DeployRun:
    """Run the deployment pipeline: see `run_steps`. A rollback is an answer, with `status` `rolled_back`."""
    steps = run_steps("deploy", arguments, home=home)
    return DeployRun(**vars(Deployment.of(steps)), seconds=seconds_of(steps))
