"""Rollouts that are simulated: how often a good version is rolled back, and a bad one caught in time.

Whole rollouts, decided by the shipped policy, of traffic whose latencies were recorded of a real server
(`rollout_noise`). No server runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

from benchmarks.measure import Measurement
from benchmarks.rollout_traffic import GOOD, Version, windows
from benchmarks.workplace import Workplace
from secondread.config.rollout import RolloutConfig
from secondread.cpus import cpu_limit
from secondread.progress import track
from secondread.rollout.analysis.decide import decide
from secondread.rollout.analysis.decision import Action
from secondread.rollout.analysis.observations import Observation
from secondread.rollout.analysis.state import RolloutState, stage_of

ROLLOUTS = 2000
RATE, INTERVAL = 20.0, 60.0  # requests a second of the service, and the controller's look every minute
THRESHOLD = 10  # looks within which a bad version is to be caught, once its traffic has settled
BAD = {"twice_p99": Version(slower=2.0), "errors_5_percent": Version(errors=GOOD.errors + 0.05)}
_SPLIT = "the recorded requests of one server go to both sides by chance"
_ABOUT = f"none; {RATE:.0f} requests a second, a look every {INTERVAL:.0f} s, the shipped policy; {_SPLIT}"


@dataclass(frozen=True)
class Ended:
    """How a rollout ended.

    Attributes:
        action: the last decision; hold where it was left before it ended.
        reason: of it.
        stage: in which.
        seconds: that it took.
        requests: of the new version in the last stage.
    """

    action: Action
    reason: str
    stage: str
    seconds: float
    requests: float


def simulate(
    seed: int,
    *,
    new: Version,
    policy: RolloutConfig,
    first: str = "",
    seconds: float = float("inf"),
    apart: bool = False,
) -> Ended:
    """One rollout, look by look, until it ends or a person is asked.

    Args:
        seed: of its traffic.
        new: version that is let in.
        policy: that decides.
        first: stage to begin in; by default the first one.
        seconds: after which it is left.
        apart: the versions run on machines whose bad minutes are not the same.
    """
    names = [stage.name for stage in policy.stages]
    state, now = RolloutState(names.index(first) if first else 0, 0.0, 0.0), 0.0
    while True:
        stage, seen = stage_of(policy, state), list[Observation]()
        traffic = windows(stage, new, rate=RATE, interval=INTERVAL, seed=(seed, state.stage), apart=apart, start=now)
        for window in traffic:
            seen.append(window)
            now = window.end
            decision = decide(policy, state, seen, now)
            state = state.after(decision, policy, now)
            if decision.action is not Action.HOLD or now >= seconds:
                break
        if decision.action is not Action.ADVANCE:
            return Ended(decision.action, decision.reason, stage.name, now, decision.figures.get("requests", 0.0))


def simulated(what: str, rollouts: int, **given: object) -> list[Ended]:
    """Many rollouts, on all CPUs that may be used; the arguments are `simulate`'s."""
    one: Callable[[int], Ended] = partial(simulate, **given)  # type: ignore[arg-type]
    with ProcessPoolExecutor(cpu_limit(), mp_context=get_context("spawn")) as pool:
        return list(track(pool.map(one, range(rollouts), chunksize=5), what, total=rollouts))


def good_versions(_: Workplace) -> Sequence[Measurement]:
    """Versions that are as good as the stable one, from the first stage to the last."""
    policy = RolloutConfig()
    ended = simulated("rollouts of good versions", ROLLOUTS, new=GOOD, policy=policy)
    planned = planned_seconds(policy)
    promoted = [each for each in ended if each.action is Action.PROMOTE and each.seconds <= planned]
    rolled_back = [each for each in ended if each.action is Action.ROLL_BACK]
    return [
        Measurement("rollout.aa_false_rollback_share", len(rolled_back) / ROLLOUTS, "share", _ABOUT, ROLLOUTS),
        Measurement(
            "rollout.good_promoted_share",
            len(promoted) / ROLLOUTS,
            "share",
            f"{_ABOUT}; planned are {planned:,.0f} s",
            ROLLOUTS,
        ),
    ]


def planned_seconds(policy: RolloutConfig) -> float:
    """What a rollout takes where each stage passes as soon as it may: with the settling, and a look's rounding."""
    waits = [stage.seconds_at_least + policy.evidence.settle_seconds for stage in policy.stages if stage.has_requests]
    return sum(waits) + INTERVAL * len(policy.stages)


def caught(fault: str) -> Callable[[Workplace], Sequence[Measurement]]:
    """The measurement of one fault, which shows when the first callers are answered: with a tenth of the traffic."""

    def measure(_: Workplace) -> Sequence[Measurement]:
        policy = RolloutConfig()
        within = policy.evidence.settle_seconds + THRESHOLD * INTERVAL
        ended = simulated(
            f"rollouts with {fault}", ROLLOUTS, new=BAD[fault], policy=policy, first="canary", seconds=within
        )
        share = sum(each.action is Action.ROLL_BACK for each in ended) / ROLLOUTS
        about = f"{_ABOUT}; a tenth of the traffic, within {THRESHOLD} looks of {INTERVAL:.0f} s once it has settled"
        return [Measurement(f"rollout.bad_caught_share.{fault}", share, "share", about, ROLLOUTS)]

    return measure
