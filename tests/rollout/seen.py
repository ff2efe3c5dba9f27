"""What a controller could have seen, for tests: a good service with whatever is wrong with the new version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from secondread.config.rollout import RolloutConfig, StageConfig
from secondread.rollout.analysis.decide import decide
from secondread.rollout.analysis.decision import Action, Decision
from secondread.rollout.analysis.observations import Histogram, Observation, Side, Split
from secondread.rollout.analysis.state import RolloutState

BOUNDS = (0.05, 0.1, 0.3, 0.5, 1.0)
SHARES = (0.5, 0.7, 0.9, 1.0)
MINUTE = 60.0
POLICY = RolloutConfig()


def side(requests: int = 1000, *, number: int = 0, failed: int = 0, slow: int = 0, **given: Any) -> Side:
    """A version that is well.

    Args:
        requests: of which nine in ten take 50 ms and one up to 100 ms.
        number: of the window: no two say the same.
        failed: of the requests.
        slow: of the requests, that take 0.5 to 1 s.
        given: fields of `Side` in place of those of a version that is well.
    """
    well, wiggle = requests - slow, number % 5
    middle = min(well, requests // 10 + wiggle)
    normal = min(requests, 7 * requests // 10 + wiggle)
    fields: dict[str, Any] = {
        "requests": {"200": float(requests - failed), "500": float(failed)},
        "seconds": Histogram(BOUNDS, tuple(map(float, (well - middle, middle, 0, 0, slow, 0)))),
        "predictions": {"cxr-normal": float(normal), "cxr-covid": float(requests - normal)},
        "confidence": Histogram(SHARES, tuple(map(float, (0, requests - normal, normal, 0, 0)))),
        "out_of_distribution": float(requests // 50),
        "drift": {"predictions_psi": 0.01, "confidence_psi": 0.01},
        "ready": True,
        "restarts": 0.0,
    }
    return Side(**(fields | given))


def window(number: int, *, percent: int = 10, mirror: int = 0, requests: int = 10_000, **given: Any) -> Observation:
    """A minute of a service whose traffic is split as it was asked.

    Args:
        number: of the minute, from 0.
        percent: of the traffic that the new version answers.
        mirror: percent that is mirrored to it.
        requests: of the service.
        given: fields of `Observation` in place of these.
    """
    canary, mirrored = requests * percent // 100, requests * mirror // 100
    fields: dict[str, Any] = {
        "stable": side(requests - canary, number=number),
        "canary": side(canary + mirrored, number=number),
        "split": Split(float(requests - canary), float(canary), float(mirrored)),
    }
    return Observation(number * MINUTE, (number + 1) * MINUTE, **(fields | given))


def of_stage(stage: StageConfig, minutes: int, **given: Any) -> list[Observation]:
    """So many minutes of a stage in which all is well."""
    split = {"percent": stage.traffic_percent, "mirror": stage.mirror_percent}
    return [window(number, **(split | given)) for number in range(minutes)]


def in_stage(name: str, policy: RolloutConfig = POLICY) -> RolloutState:
    """A rollout that came to a stage at the time 0."""
    return RolloutState([stage.name for stage in policy.stages].index(name), 0.0, 0.0)


def look(
    observations: Sequence[Observation],
    *,
    state: RolloutState | None = None,
    policy: RolloutConfig = POLICY,
    now: float | None = None,
) -> Decision:
    """What is decided at the end of the last window, in stage canary unless it is said."""
    now = observations[-1].end if now is None else now
    return decide(policy, state or in_stage("canary", policy), observations, now)


def looks(
    observations: Sequence[Observation], *, state: RolloutState, policy: RolloutConfig = POLICY
) -> list[Decision]:
    """What is decided at each look, until something is done."""
    decisions = []
    for number, seen in enumerate(observations, start=1):
        decisions.append(decide(policy, state, observations[:number], seen.end))
        if decisions[-1].action is not Action.HOLD:
            break
        state = state.after(decisions[-1], policy, seen.end)
    return decisions


def changed(observation: Observation, **canary: Any) -> Observation:
    """The same window, with another new version."""
    assert observation.canary
    return replace(observation, canary=replace(observation.canary, **canary))
