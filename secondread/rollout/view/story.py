"""What happened in a rollout, read once: which stage when, who did what, and how it ended."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from secondread.config.rollout import StageConfig
from secondread.rollout.analysis.decision import Action
from secondread.rollout.analysis.observations import Observation
from secondread.rollout.analysis.state import RolloutState, stage_of
from secondread.rollout.record.record import Event, Intent, Plan, RolloutRecord, Word
from secondread.rollout.view.amounts import clock, duration, moment

DONE: dict[str, str] = {
    "begun": "begun",
    Action.HOLD: "no change",
    Action.ADVANCE: "next stage",
    Action.PROMOTE: "promoted",
    Action.ROLL_BACK: "rolled back",
    Action.INCONCLUSIVE: "a person decides",
    "checked": "checked",
    "corrected": "set right",
    "obeyed": "as a person asked",
    "refused": "not done as a person asked",
    "failed": "failed",
}  # what an event is, in words
_NUMBER = re.compile(r"\d[\d.,]*")


@dataclass(frozen=True)
class Stay:
    """The time in a stage.

    Attributes:
        stage: which.
        start, end: seconds since 1970.
    """

    stage: StageConfig
    start: float
    end: float


@dataclass(frozen=True)
class Episode:
    """One event, or several in a row that say the same.

    Attributes:
        first, last: of them.
        count: of them.
    """

    first: Event
    last: Event
    count: int = 1

    @property
    def quiet(self) -> bool:
        """Nothing was done, and nobody needs to look."""
        return self.last.what == Action.HOLD and not self.last.alarm


@dataclass(frozen=True)
class Answered:
    """Whose answers the callers got, as far as it is known.

    Attributes:
        new: requests that the new version answered.
        total: requests that either answered.
        failed: of those that the new version answered.
        counted: both are known of every window.
        failed_counted: this is.
    """

    new: float
    total: float
    failed: float
    counted: bool
    failed_counted: bool


@dataclass(frozen=True)
class Story:
    """A rollout as its record has it at one time.

    Attributes:
        plan, state, intent, word: as of the record.
        observations, events: in order.
    """

    plan: Plan
    state: RolloutState
    intent: Intent | None
    word: Word | None
    observations: Sequence[Observation]
    events: Sequence[Event]

    @classmethod
    def of(cls, record: RolloutRecord) -> Story:
        """Read it.

        Raises:
            IntegrityError: the folder is none of a rollout, or was changed.
        """
        kept = record.read()
        return cls(record.plan, kept.state, kept.intent, record.word(), record.observations(), record.events())

    @property
    def stage(self) -> StageConfig:
        """That it is in, or ended in."""
        return stage_of(self.plan.policy, self.state)

    @property
    def end(self) -> Event | None:
        """The event that ended it; None where it goes on."""
        return next((each for each in reversed(self.events) if each.what == self.state.ended), None)

    @property
    def until(self) -> float:
        """How far it is known, in seconds since 1970."""
        if self.end:
            return self.end.at
        return max(self.state.seen, *(each.end for each in self.observations[-1:]), self.plan.begun)

    @property
    def decided(self) -> Event | None:
        """The last decision; None: there is none yet."""
        return next((each for each in reversed(self.events) if each.what in set(Action)), None)

    @property
    def alarms(self) -> list[Event]:
        """Those of the last look; none once it has ended."""
        return [each for each in self.events if each.alarm and each.at == self.events[-1].at and not self.state.ended]

    def when(self, at: float) -> str:
        """A time, with its day where the rollout takes several."""
        days = {moment(each).split()[0] for each in (self.plan.begun, self.until)}
        return clock(at) if len(days) == 1 else f"{moment(at).split()[0]} {clock(at)}"

    def stays(self) -> list[Stay]:
        """The stages that it came to, in their order."""
        stages = self.plan.policy.stages[: self.state.stage + 1]
        left = {each.stage: each.at for each in self.events if each.what == Action.ADVANCE}
        starts = [self.plan.begun, *(left.get(stage.name, self.state.since) for stage in stages[:-1])]
        return [
            Stay(stage, start, max(start, end))
            for stage, start, end in zip(stages, starts, [*starts[1:], self.until], strict=True)
        ]

    def episodes(self) -> list[Episode]:
        """What happened: looks that changed nothing, and alarms that differ in their numbers alone, taken together."""
        found: list[Episode] = []
        for event in self.events:
            before = found[-1] if found else None
            if before and _alike(before.last, event):
                found[-1] = Episode(before.first, event, before.count + 1)
            else:
                found.append(Episode(event, event))
        return found

    def answered(self) -> Answered:
        """What of the traffic was the new version's; mirrored requests are nobody's answer."""
        windows = self._of_requests()
        known = [(window.split, window.canary) for window in windows if window.split]
        live = [(split, side) for split, side in known if split.canary]
        counted = len(known) == len(windows)
        return Answered(
            new=sum(split.canary for split, _ in live),
            total=sum(split.stable + split.canary for split, _ in known),
            failed=sum(side.failed or 0.0 for _, side in live if side),
            counted=counted,
            failed_counted=counted and all(side and side.failed is not None for _, side in live),
        )

    def sentence(self) -> str:
        """What happened, in one sentence for somebody who knows nothing of rollouts."""
        plan, state, stage = self.plan, self.state, self.stage
        new = f"Version {plan.candidate} of {plan.name}"
        if state.ended == Action.PROMOTE:
            since = f"since {moment(self.end.at)}" if self.end else "now"
            return f"{new} took the place of version {plan.stable}: {since} it answers every request."
        if state.ended:
            took = f" after {duration(self.end.at - plan.begun)}" if self.end else ""
            to = self.end.figures.get("to_version") if self.end else None
            answers = f"version {to or plan.stable:.0f} answers every request{'' if to else ', as before'}"
            return f"{new} was taken out{took}: {answers}."
        gets = "is checked, and answers nobody"
        if stage.mirror_percent:
            gets = f"gets a copy of {stage.mirror_percent} % of the requests, and its answers go to nobody"
        if stage.traffic_percent:
            gets = f"answers {stage.traffic_percent} % of the requests"
        paused = "; that stays so until a person decides" if state.paused else ""
        return f"{new} is tried beside version {plan.stable}: in stage {stage.name} it {gets}{paused}."

    def _of_requests(self) -> list[Observation]:
        """The windows of stages in which there are requests."""
        begun = next((stay.start for stay in self.stays() if stay.stage.has_requests), float("inf"))
        return [window for window in self.observations if window.start >= begun]


def _alike(before: Event, event: Event) -> bool:
    if (before.what, before.stage, before.alarm) != (event.what, event.stage, event.alarm):
        return False
    quiet = event.what == Action.HOLD and not event.alarm
    return quiet or (event.alarm and _NUMBER.sub("#", before.reason) == _NUMBER.sub("#", event.reason))
