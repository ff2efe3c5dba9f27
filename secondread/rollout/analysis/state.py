"""Where a rollout is: what a controller keeps, so that one that was killed goes on where it was."""

from __future__ import annotations

from dataclasses import dataclass, replace

from secondread.config.rollout import RolloutConfig, StageConfig
from secondread.rollout.analysis.decision import Action, Decision


@dataclass(frozen=True)
class RolloutState:
    """Where a rollout is.

    Attributes:
        stage: number of the policy's stage, from 0.
        since: when the stage's traffic was set, in seconds since 1970.
        seen: when it was decided last, likewise.
        watched_seconds: that the rollout was watched altogether; pauses and hours without a controller do not count.
        stage_seconds: likewise, in this stage.
        resumed: when somebody resumed it last, likewise; 0: nobody has.
        paused: why it is; empty: it is not.
        ended: how it has, promote or roll_back; empty: it has not.
    """

    stage: int
    since: float
    seen: float
    watched_seconds: float = 0.0
    stage_seconds: float = 0.0
    resumed: float = 0.0
    paused: str = ""
    ended: str = ""

    @classmethod
    def begun(cls, now: float) -> RolloutState:
        """A rollout in its first stage."""
        return cls(0, now, now)

    def pause(self, reason: str) -> RolloutState:
        """It holds, whatever is seen, until somebody resumes it."""
        return replace(self, paused=reason or "by hand")

    def resume(self, now: float) -> RolloutState:
        """It goes on; the pause counts for no deadline, and what could not be told apart has its time once more."""
        return replace(self, paused="", seen=now, resumed=now)

    def passed(self, policy: RolloutConfig, now: float) -> float:
        """Seconds since it was decided last that count: none where the clock went back, and few where it jumped on."""
        return 0.0 if self.paused else min(max(0.0, now - self.seen), policy.evidence.age_seconds)

    def after(self, decision: Decision, policy: RolloutConfig, now: float) -> RolloutState:
        """What it is once a decision was carried out.

        Args:
            decision: on this state, at this time.
            policy: that it was decided by.
            now: seconds since 1970, when traffic had been set where the decision says so.
        """
        passed = self.passed(policy, now)
        state = replace(
            self,
            seen=now,
            since=min(self.since, now),  # of a clock that was set back since
            resumed=min(self.resumed, now),
            watched_seconds=self.watched_seconds + passed,
            stage_seconds=self.stage_seconds + passed,
        )
        match decision.action:
            case Action.ADVANCE:
                return replace(state, stage=self.stage + 1, since=now, stage_seconds=0.0)
            case Action.PROMOTE | Action.ROLL_BACK:
                return replace(state, ended=decision.action.value)
            case Action.INCONCLUSIVE:
                return state.pause(decision.reason)
            case Action.HOLD:
                return state


def stage_of(policy: RolloutConfig, state: RolloutState) -> StageConfig:
    """The stage that a rollout is in."""
    return policy.stages[state.stage]
