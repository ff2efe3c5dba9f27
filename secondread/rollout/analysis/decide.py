"""What to do with a new version: one pure function from policy, state and what was seen to a reasoned decision."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain

from secondread.config.rollout import RolloutConfig, StageConfig
from secondread.rollout.analysis.compare import Comparison, Verdict, compare
from secondread.rollout.analysis.decision import Action, Decision
from secondread.rollout.analysis.observations import Observation
from secondread.rollout.analysis.split import split_fault
from secondread.rollout.analysis.state import RolloutState, stage_of
from secondread.rollout.analysis.triggers import Trigger, drift_unknown, triggers
from secondread.rollout.analysis.windows import in_order, judged, requests_of_new, watched_seconds


def decide(policy: RolloutConfig, state: RolloutState, observations: Sequence[Observation], now: float) -> Decision:
    """Decide.

    In this order, of which the first that holds decides: a person's word, a clock that went back, the deadlines, the
    limits that the new version is beyond by itself, what is not known, the split of the traffic, the comparison with
    the stable version, and whether all that a stage asks for is there. What is not known is never taken for good, and
    only what was seen in this stage counts.

    Args:
        policy: the rules.
        state: where the rollout is.
        observations: of this stage at least, in the order in which they were made; earlier ones are passed over.
        now: seconds since 1970.
    """
    stage = stage_of(policy, state)
    if state.ended:
        return Decision(Action.HOLD, f"The rollout has ended: {state.ended.replace('_', ' ')}.")
    if state.paused:
        return Decision(Action.HOLD, f"Paused in stage {stage.name}: {state.paused}")
    if now < state.seen:
        return Decision(Action.HOLD, f"The clock went back by {state.seen - now:.0f} s.", alarm=True)
    seen = [each for each in in_order(observations) if each.start >= state.since and each.end <= now]
    windows = judged(seen, stage, policy.evidence, since=state.since)
    found = triggers(policy, seen, windows)
    figures = _figures(windows, found)
    if late := _late(policy, stage, state, now):
        return Decision(Action.ROLL_BACK, late, figures)
    if pulled := [each for each in found if each.pulled and not each.shared]:
        return Decision(Action.ROLL_BACK, f"In stage {stage.name} {_all(pulled)}.", figures)
    if failed := [name for name in stage.checks if _checks(seen).get(name) is False]:
        faults = {name: text for each in seen for name, text in each.faults.items()}
        why = "; ".join(f"{name} failed{': ' if name in faults else ''}{faults.get(name, '')}" for name in failed)
        return Decision(Action.ROLL_BACK, f"In stage {stage.name} {why}.", figures)
    blind, alarm = _blind(policy, stage, state, seen, windows, now)
    if blind:
        return Decision(Action.HOLD, blind, figures, alarm=alarm)
    return _of_evidence(policy, stage, state, seen, windows, found, figures)


def _of_evidence(
    policy: RolloutConfig,
    stage: StageConfig,
    state: RolloutState,
    seen: Sequence[Observation],
    windows: Sequence[Observation],
    found: Sequence[Trigger],
    figures: dict[str, float],
) -> Decision:
    if stage.has_requests and (fault := split_fault(stage, windows, policy.evidence)):
        return Decision(
            Action.HOLD, f"In stage {stage.name} {fault}: nothing is judged until that is right.", figures, alarm=True
        )
    missing = _missing(stage, seen, windows)
    comparisons = compare(policy, stage, windows, to_go_on=not missing)
    for each in comparisons:
        figures |= _of_comparison(each)
    where = f"In stage {stage.name}"
    if worse := [each for each in comparisons if each.verdict is Verdict.WORSE]:
        sentence = "; ".join(str(each) for each in sorted(worse, key=lambda each: -each.evidence))
        return Decision(Action.ROLL_BACK, f"{where} the new version is worse: {sentence}.", figures)
    if pulled := [each for each in found if each.pulled]:  # the stable version shows it, too: it is the images
        reason = f"{where} {_all(pulled)}, and the stable version's too. A person decides."
        return Decision(Action.INCONCLUSIVE, reason, figures, alarm=True)
    unknown = [each.figure for each in comparisons if each.required and each.verdict is Verdict.UNKNOWN]
    if unknown:
        return Decision(Action.HOLD, f"{where} this is not known: {', '.join(unknown)}.", figures, alarm=True)
    if missing:
        return Decision(Action.HOLD, f"Stage {stage.name} goes on: {missing}.", figures)
    if windows and (unknown := drift_unknown(policy.triggers, windows[-1])):
        return Decision(Action.HOLD, f"{where} this drift is not known: {', '.join(unknown)}.", figures, alarm=True)
    if found:
        reason = f"{where} {_all(found)}; not for long enough to be sure, and too much to go on."
        return Decision(Action.HOLD, reason, figures)
    undecided = [each for each in comparisons if each.required and each.verdict is not Verdict.WITHIN]
    since_resumed = watched_seconds([window for window in windows if window.start >= state.resumed])
    if undecided and since_resumed >= stage.undecided_seconds:
        reason = f"{where} it cannot be told whether the new version is worse: {_all(undecided)}. A person decides."
        return Decision(Action.INCONCLUSIVE, reason, figures, alarm=True)
    if undecided:
        return Decision(Action.HOLD, f"Stage {stage.name} goes on, not told apart yet: {_all(undecided)}.", figures)
    action = Action.ADVANCE if state.stage + 1 < len(policy.stages) else Action.PROMOTE
    return Decision(action, _passed(stage, windows, comparisons), figures)


def _late(policy: RolloutConfig, stage: StageConfig, state: RolloutState, now: float) -> str:
    """Which deadline has passed; empty for none."""
    passed = state.passed(policy, now)
    if state.stage_seconds + passed >= stage.deadline_seconds:
        return f"Stage {stage.name} did not end within {stage.deadline_seconds:.0f} s."
    if state.watched_seconds + passed >= policy.deadline_seconds:
        return f"In stage {stage.name} the rollout has taken {policy.deadline_seconds:.0f} s, its deadline."
    return ""


def _blind(
    policy: RolloutConfig,
    stage: StageConfig,
    state: RolloutState,
    seen: Sequence[Observation],
    windows: Sequence[Observation],
    now: float,
) -> tuple[str, bool]:
    """Why nothing can be judged now, and whether that is cause for alarm; empty where it can."""
    if not stage.has_requests:
        return "", False
    settled, age = state.since + policy.evidence.settle_seconds, policy.evidence.age_seconds
    where = f"In stage {stage.name}"
    newest = seen[-1].end if seen else state.since
    if now - newest > age:
        return f"{where} the newest observation is {now - newest:.0f} s old, more than {age:.0f} s.", True
    if not seen or seen[-1].start < settled:
        return f"{where} the traffic settles, for {policy.evidence.settle_seconds:.0f} s.", False
    last = seen[-1]
    sides = {"new": last.canary, **({"stable": last.stable} if stage.has_both_sides else {})}
    for name, side in sides.items():
        if side is None or side.total is None:
            return f"{where} nothing is known of the {name} version's requests.", True
        if side.total < policy.evidence.window_requests_at_least:
            return f"{where} the {name} version had {side.total:.0f} requests in the newest window.", True
    if not windows or windows[-1] is not last:
        return f"{where} the newest window says the same as the one before, as what is stuck does.", True
    return "", False


def _checks(seen: Sequence[Observation]) -> dict[str, bool]:
    """What is known of checks, the newest last."""
    return dict(chain.from_iterable(each.checks.items() for each in seen))


def _missing(stage: StageConfig, seen: Sequence[Observation], windows: Sequence[Observation]) -> str:
    """What a stage asks for and is not there yet; empty for nothing."""
    parts = []
    checks = _checks(seen)
    if awaited := [name for name in stage.checks if name not in checks]:
        parts.append(f"{', '.join(awaited)} not done")
    if stage.has_requests:
        watched, requests = watched_seconds(windows), requests_of_new(windows)
        if watched < stage.seconds_at_least:
            parts.append(f"{watched:.0f} of {stage.seconds_at_least:.0f} s watched")
        if requests < stage.requests_at_least:
            parts.append(f"{requests:,.0f} of {stage.requests_at_least:,} requests")
    return ", ".join(parts)


def _passed(stage: StageConfig, windows: Sequence[Observation], comparisons: Sequence[Comparison]) -> str:
    if not stage.has_requests:
        return f"Stage {stage.name} is passed: {', '.join(stage.checks)}."
    told = _all([each for each in comparisons if each.verdict is Verdict.WITHIN]) or "no limit was exceeded"
    if any(window.canary and window.canary.restarts is None for window in windows):
        told += "; restarts of its servers are not known"
    watched = f"{requests_of_new(windows):,.0f} requests in {watched_seconds(windows):,.0f} s"
    return f"Stage {stage.name} is passed with {watched}: {told}."


def _figures(windows: Sequence[Observation], found: Sequence[Trigger]) -> dict[str, float]:
    figures = {"requests": requests_of_new(windows), "watched_seconds": watched_seconds(windows)}
    return figures | {each.name: each.value for each in found}


def _of_comparison(comparison: Comparison) -> dict[str, float]:
    figure = comparison.figure
    values = {
        figure: comparison.share,
        f"{figure}.stable": comparison.base_share,
        f"{figure}.evidence": comparison.evidence,
    }
    return {name: value for name, value in values.items() if not math.isnan(value)}


def _all(parts: Sequence[Trigger | Comparison]) -> str:
    return "; ".join(str(each) for each in parts)
