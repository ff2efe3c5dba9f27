"""What a rollout goes through, whatever its policy calls its stages and however many it has: what a pipeline shows."""

from __future__ import annotations

from enum import StrEnum

from secondread.config.rollout import StageConfig
from secondread.rollout.analysis.decision import Action
from secondread.rollout.analysis.state import stage_of
from secondread.rollout.record.record import Event, RolloutRecord

_DECIDED = (Action.ADVANCE, Action.PROMOTE, Action.ROLL_BACK)


class Phase(StrEnum):
    """A part of every rollout. One for which a policy has no stage is passed as soon as the one before is."""

    DEPLOY = "deploy to staging"  # until the candidate answers, without a share
    LOAD_TEST = "load test"  # the checks of the stages without requests
    SHADOW = "shadow"  # mirrored requests
    CANARY = "canary"  # a share of the requests
    FULL = "full"  # all of them, until the candidate is champion
    WHOLE = "every stage"  # from the first to the last


def passed(phase: Phase, record: RolloutRecord) -> bool | None:
    """Whether a rollout has passed a phase; None as long as it may yet.

    Raises:
        IntegrityError: the folder is none of a rollout, or was changed.
    """
    state = record.read().state
    if _is_beyond(phase, stage_of(record.plan.policy, state)):
        return True
    if phase is Phase.DEPLOY and any(each.canary and each.canary.ready for each in record.observations()):
        return True
    return state.ended == Action.PROMOTE if state.ended else None


def decided(phase: Phase, record: RolloutRecord) -> Event | None:
    """The last decision to go on or back that was taken in a phase; None where there was none."""
    stages = {stage.name: stage for stage in record.plan.policy.stages}
    taken = [each for each in record.events() if each.what in _DECIDED and not _is_beyond(phase, stages[each.stage])]
    return taken[-1] if taken else None


def _is_beyond(phase: Phase, stage: StageConfig) -> bool:
    """Whether a stage comes after a phase."""
    match phase:
        case Phase.DEPLOY | Phase.LOAD_TEST:
            return stage.has_requests
        case Phase.SHADOW:
            return stage.traffic_percent > 0
        case Phase.CANARY:
            return stage.traffic_percent == 100
        case Phase.FULL | Phase.WHOLE:
            return False
