"""Observe, decide, act: one tick of a rollout, which may end anywhere and is gone on with by the next one.

An end is written down before it is brought about, and every deed may be done twice: a controller that was killed in
between does it again, and changes nothing where it was done. A promotion of which nothing is done yet is decided anew,
since what was seen is old by then; so is a step to the next stage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Protocol

from secondread.atomic import one_at_a_time
from secondread.config.rollout import StageConfig
from secondread.errors import GateRefused, InputError, SecondReadError
from secondread.logging import get_logger
from secondread.rollout.analysis.decide import decide
from secondread.rollout.analysis.decision import Action, Decision
from secondread.rollout.analysis.observations import Observation
from secondread.rollout.analysis.state import RolloutState, stage_of
from secondread.rollout.controller.guard import guarded
from secondread.rollout.record.record import Event, Intent, Kept, Plan, RolloutRecord, Word
from secondread.rollout.splitters import splitter
from secondread.rollout.splitters.splitter import Splitter
from secondread.tracking.registry import RegisteredVersion

log = get_logger(__name__)


@dataclass(frozen=True)
class Checked:
    """What a check of a stage came to.

    Attributes:
        passed: whether it is passed.
        what: one sentence, with the figures.
    """

    passed: bool
    what: str


Observe = Callable[[Plan, StageConfig, float, float], Observation]  # what was seen from the one time to the other
Check = Callable[[RegisteredVersion, splitter.Side], Checked | None]  # of a candidate; None as long as it goes on
Tell = Callable[[Plan, Event], None]  # whoever is to know; one that fails stops nothing


class Champions(Protocol):
    """The registry, as a rollout needs it."""

    def version(self, name: str, number: int) -> RegisteredVersion:
        """Where a version lies."""

    def check(self, name: str, number: int) -> None:
        """Raises where the version may not be champion."""

    def promoted(self, name: str, number: int, *, actor: str, reason: str) -> None:
        """The version is champion from now on, if it is not yet."""

    def rolled_back(self, name: str, number: int, *, actor: str, reason: str) -> None:
        """The version is champion again, if it is not yet."""


class Controller:
    """Carries one rollout on.

    Args:
        record: of the rollout.
        splitter: that shares its requests.
        champions: the registry.
        observe: what is known of both sides.
        checks: of stages that have some, by name.
        tell: who is told of every event.
        may_act: raises where another controller may act by now, such as `Lease.check`; asked before all that is done.
    """

    def __init__(
        self,
        record: RolloutRecord,
        splitter: Splitter,
        champions: Champions,
        observe: Observe,
        *,
        checks: Mapping[str, Check],
        tell: tuple[Tell, ...] = (),
        may_act: Callable[[], None] = lambda: None,
    ) -> None:
        self._record, self._splitter = guarded(record, may_act), guarded(splitter, may_act)
        self._champions, self._observe = guarded(champions, may_act), observe
        self._checks, self._tell = checks, tell

    def alone(self) -> AbstractContextManager[None]:
        """Let no other controller of this rollout act inside the block.

        Raises:
            DependencyError: one does already.
        """
        return one_at_a_time(self._record.folder / "controller", wait=False)

    def tick(self, now: float) -> RolloutState:
        """Look once, and do what is to be done.

        Args:
            now: seconds since 1970.
        Returns:
            Where the rollout is afterwards.
        Raises:
            StoppedError: `may_act` said so. Nothing was done after that, and nothing written.
        """
        kept = self._record.read()
        try:
            if word := self._record.word():
                kept = self._obey(word, kept, now)
            elif kept.intent:
                kept = self._go_on(kept, kept.intent, now)
            elif not kept.state.ended:
                kept = self._look(kept, now)
        except SecondReadError as error:  # what does not answer now may do so at the next tick
            kept = self._failed(error, now)
        return kept.state

    def _look(self, kept: Kept, now: float) -> Kept:
        plan, stage = self._record.plan, stage_of(self._record.plan.policy, kept.state)
        there = self._hold_to(stage, kept.state, now)
        seen = self._record.observations()
        # what passed while nobody looked is no time that was watched; an end in the future is of a clock since set back
        last = [each.end for each in seen[-1:] if each.end <= now]
        start = max([kept.state.since, now - plan.policy.evidence.age_seconds, *last])
        if now > start:
            observation = self._observe(plan, stage, start, now)
            known = {name for each in seen if each.start >= kept.state.since for name in each.checks}
            checked = self._check(stage, there.candidate, known, kept.state, now)
            observation = replace(
                observation,
                checks={**observation.checks, **{name: each.passed for name, each in checked.items()}},
                faults={name: each.what for name, each in checked.items() if not each.passed},
            )
            self._record.saw(observation)
            seen.append(observation)
        decision = decide(plan.policy, kept.state, seen, now)
        intended = Kept(kept.state, Intent(decision))
        if decision.action in (Action.PROMOTE, Action.ROLL_BACK):
            self._record.write(intended)
        return self._carry_out(intended, Intent(decision), now)

    def _go_on(self, kept: Kept, intent: Intent, now: float) -> Kept:
        """Finish what was to be done, or look anew at what is not begun and no person asks for any more."""
        asked = intent.actor and not kept.state.paused
        if intent.decision.action is Action.ROLL_BACK or asked or self._answers_everything():
            return self._carry_out(kept, intent, now)
        return self._look(Kept(kept.state), now)

    def _answers_everything(self) -> bool:
        """Whether the candidate is in the stable version's place."""
        candidate = self._champions.version(self._record.plan.name, self._record.plan.candidate)
        return self._splitter.read().stable.digest == candidate.digest

    def _failed(self, error: SecondReadError, now: float) -> Kept:
        """Tell of it. The time counts: a deadline ends a rollout at which nobody can look, too."""
        kept, policy = self._record.read(), self._record.plan.policy
        self._event(now, "failed", kept.state, str(error), alarm=True)
        intent = kept.intent
        settled = intent is not None and (bool(intent.actor) or intent.decision.action is Action.ROLL_BACK)
        if settled or kept.state.ended or self._record.word():
            return kept
        decision = decide(policy, kept.state, self._record.observations(), now)
        if decision.action is Action.ROLL_BACK:  # of a promotion that may be half done, to the stable version by number
            kept = Kept(kept.state, Intent(decision, self._record.plan.stable if intent else 0))
        else:
            kept = Kept(kept.state.after(Decision(Action.HOLD, str(error)), policy, now), intent)
        self._record.write(kept)
        return kept

    def _check(
        self, stage: StageConfig, side: splitter.Side | None, known: set[str], state: RolloutState, now: float
    ) -> dict[str, Checked]:
        """What the checks of a stage have come to since the last look; one that cannot be done is asked again."""
        done: dict[str, Checked] = {}
        if side is None or not side.ready:
            return done
        candidate = self._champions.version(self._record.plan.name, self._record.plan.candidate)
        for name in [name for name in stage.checks if name in self._checks and name not in known]:
            try:
                checked = self._checks[name](candidate, side)
            except SecondReadError as error:
                self._event(now, "failed", state, f"{name}: {error}", alarm=True)
                continue
            if checked:
                done[name] = checked
                self._event(now, "checked", state, f"{name}: {checked.what}")
        return done

    def _hold_to(self, stage: StageConfig, state: RolloutState, now: float) -> splitter.Split:
        """Have the requests shared as the stage says, whoever changed it since."""
        candidate = self._champions.version(self._record.plan.name, self._record.plan.candidate)
        there = self._splitter.read()
        if there.candidate is None or there.candidate.digest != candidate.digest:
            self._event(now, "corrected", state, self._splitter.deploy(candidate).what)
            there = self._splitter.read()
        asked = (min(stage.traffic_percent, self._splitter.most_percent), bool(stage.mirror_percent))
        if (there.candidate_percent, there.mirrored) != asked and there.candidate and there.candidate.ready:
            done = self._splitter.set_split(asked[0], mirrored=asked[1])
            self._event(now, "corrected", state, done.what)
        return there

    def _obey(self, word: Word, kept: Kept, now: float) -> Kept:
        """A person's word goes before all that is seen, and before what was decided and is not done yet."""
        reason = f"{word.actor}: {word.reason}"
        state = kept.state
        if refused := self._objection(word, kept):
            asked = word.action.replace("_", " ")
            self._event(now, "refused", state, f"{asked}, {reason}: {refused}")
            self._record.obeyed(word)
            return kept
        match word.action:
            case "pause" | "resume":
                state = state.pause(reason) if word.action == "pause" else state.resume(now)
                self._record.write(Kept(state, kept.intent))
                self._event(now, "obeyed", state, f"{word.action}, {reason}")
                self._record.obeyed(word)
                return self._record.read()
            case "promote" | "roll_back":
                to = self._back_to(word, kept.intent)
                figures = {"to_version": float(to)} if to else {}  # so that the event says where it went
                intent = Intent(Decision(Action(word.action), reason, figures), to, word.actor)
                intended = Kept(replace(state, ended="") if word.to else state, intent)
                self._record.write(intended)
                self._record.obeyed(word)
                return self._carry_out(intended, intent, now)

    def _objection(self, word: Word, kept: Kept) -> str:
        """Why what a person asks for cannot be done; empty where it can."""
        if kept.state.ended and not word.to:
            return f"the rollout has ended meanwhile, by {kept.state.ended.replace('_', ' ')}"
        under_way = kept.intent is not None and kept.intent.decision.action is Action.ROLL_BACK
        if word.action in ("pause", "resume") and under_way:
            return "it is being rolled back"
        to = self._record.plan.candidate if word.action == "promote" else self._back_to(word, kept.intent)
        if word.action in ("promote", "roll_back") and to:
            try:
                self._champions.check(self._record.plan.name, to)
            except (GateRefused, InputError) as error:
                return str(error).rstrip(".")
        return ""

    def _back_to(self, word: Word, pending: Intent | None) -> int:
        """The version that a rollback brings back; 0: the stable one still answers, and stays."""
        if word.action != "roll_back" or word.to:
            return word.to
        if pending and pending.decision.action is Action.PROMOTE:  # the new version may answer already
            return self._record.plan.stable
        return pending.to if pending else 0

    def _carry_out(self, kept: Kept, intent: Intent, now: float) -> Kept:
        plan, decision = self._record.plan, intent.decision
        who = {"actor": intent.actor or plan.actor, "reason": decision.reason}
        match decision.action:
            case Action.ADVANCE:
                stage = plan.policy.stages[kept.state.stage + 1]
                share = min(stage.traffic_percent, self._splitter.most_percent)
                self._splitter.set_split(share, mirrored=bool(stage.mirror_percent))
            case Action.PROMOTE:
                self._have_answer(plan.candidate)
                self._champions.promoted(plan.name, plan.candidate, **who)
            case Action.ROLL_BACK:
                if intent.to:
                    self._have_answer(intent.to)
                    self._champions.rolled_back(plan.name, intent.to, **who)
                else:
                    self._splitter.remove()
            case Action.INCONCLUSIVE | Action.HOLD:
                pass
        done = Kept(kept.state.after(decision, plan.policy, now))
        self._event(now, decision.action, kept.state, decision.reason, decision.figures, alarm=decision.alarm)
        self._record.write(done)
        return done

    def _have_answer(self, number: int) -> None:
        """Have a version answer everything; it is started first where it does not run.

        Whether it may is asked before: the one that answers now is gone afterwards.
        """
        self._champions.check(self._record.plan.name, number)
        version = self._champions.version(self._record.plan.name, number)
        there = self._splitter.read()
        # what starts is left to it: it may be ready at the next look only
        if there.candidate and there.candidate.digest != version.digest:
            self._splitter.remove()
        if version.digest not in {side.digest for side in (there.stable, there.candidate) if side}:
            self._splitter.deploy(version)
        self._splitter.promote(version)

    def _event(
        self,
        now: float,
        what: str,
        state: RolloutState,
        reason: str,
        figures: Mapping[str, float] | None = None,
        *,
        alarm: bool = False,
    ) -> None:
        stage = stage_of(self._record.plan.policy, state)
        event = Event(now, str(what), stage.name, reason, dict(figures or {}), alarm)
        self._record.tell(event)
        (log.warning if alarm else log.info)("%s in stage %s: %s", event.what, event.stage, event.reason)
        tell_all(self._tell, self._record.plan, event)


def tell_all(told: Iterable[Tell], plan: Plan, event: Event) -> None:
    """Tell everybody of an event; who cannot be told stops nothing."""
    for tell in told:
        try:
            tell(plan, event)
        except SecondReadError as error:
            log.error("nobody was told of it: %s", error)
