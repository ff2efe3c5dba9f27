"""What the new version may not do, whatever the stable one does: be slow, fail, drift, not be ready, end itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np

from secondread.config.rollout import DriftLimit, RolloutConfig, TriggerConfig
from secondread.rollout.analysis import sequential
from secondread.rollout.analysis.compare import level
from secondread.rollout.analysis.observations import Observation, Side
from secondread.rollout.analysis.windows import watched_seconds


@dataclass(frozen=True)
class Trigger:
    """A limit that the newest window is beyond.

    Attributes:
        name: such as errors; of a drift statistic, drift and its name.
        value: of the windows that are beyond it, in the limit's unit.
        limit: exclusive.
        seconds: for how long it has been beyond it.
        pulled: it has been for as long as the policy says, and by more than chance.
        shared: the stable version is beyond it too.
        what: in words, with the figures.
    """

    name: str
    value: float
    limit: float
    seconds: float
    pulled: bool
    what: str
    shared: bool = False

    def __str__(self) -> str:
        """In words."""
        return self.what


def triggers(policy: RolloutConfig, seen: Sequence[Observation], judged: Sequence[Observation]) -> list[Trigger]:
    """All limits that the new version is beyond.

    Args:
        policy: the limits.
        seen: all windows of the stage, in their order.
        judged: those of them that have enough requests to be judged.
    """
    config = policy.triggers
    return [*_unready(config, seen), *_restarts(config, seen), *_counted(policy, judged), *_drift(config, seen)]


def drift_unknown(config: TriggerConfig, window: Observation) -> list[str]:
    """Drift statistics that have a limit and are not known in a window."""
    known = (window.canary.drift if window.canary else None) or {}
    return [limit.statistic for limit in config.drift if limit.statistic not in known]


def _unready(config: TriggerConfig, seen: Sequence[Observation]) -> Iterator[Trigger]:
    run = _latest(seen, lambda window: window.canary is not None and window.canary.ready is False)
    if run:
        seconds, limit = watched_seconds(run), config.unready_seconds
        what = f"the new version has not been ready for {seconds:.0f} s{_because(run)}"
        yield Trigger("ready", seconds, limit, seconds, seconds >= limit, what)


def _restarts(config: TriggerConfig, seen: Sequence[Observation]) -> Iterator[Trigger]:
    known = [window.canary.restarts for window in seen if window.canary and window.canary.restarts is not None]
    count = max(known, default=0.0)
    if count > config.restarts_above:
        times = "once" if count == 1 else f"{count:.0f} times"
        what = f"servers of the new version restarted {times}, more than {config.restarts_above}{_because(seen)}"
        yield Trigger("restarts", count, config.restarts_above, watched_seconds(seen), True, what)


def _because(seen: Sequence[Observation]) -> str:
    """The last problem that is known of the new version."""
    problems = [window.canary.problem for window in seen if window.canary and window.canary.problem]
    return f" ({problems[-1]})" if problems else ""


def _counted(policy: RolloutConfig, judged: Sequence[Observation]) -> Iterator[Trigger]:
    """Shares of requests: beyond the limit in each window, and by more than chance in all of them."""
    config = policy.triggers
    if config.latency_ms_above is not None:
        bound = config.latency_ms_above / 1000
        say = f"{{:.2%}} of the new version's requests were slower than {config.latency_ms_above:g} ms"
        yield from _share(
            "latency", config.latency_share, config.latency_seconds, policy, judged, say, lambda s: _slow(s, bound)
        )
    if config.errors_above is not None:
        say = "{:.2%} of the new version's requests failed"
        yield from _share("errors", config.errors_above, config.errors_seconds, policy, judged, say, _failed)


def _share(
    name: str,
    limit: float,
    seconds: float,
    policy: RolloutConfig,
    judged: Sequence[Observation],
    say: str,
    counts: Callable[[Side], tuple[float, float] | None],
) -> Iterator[Trigger]:
    def beyond(window: Observation) -> bool:
        found = counts(window.canary) if window.canary else None
        return found is not None and found[0] > limit * found[1]

    run = _latest(judged, beyond)
    if not run:
        return
    found = [each for window in run if window.canary and (each := counts(window.canary))]
    events, total = (sum(each) for each in zip(*found, strict=True))
    # a run may start at any window: the j-th has its part 1 / (j (j + 1)) of the level, all parts together 1
    first = len(judged) - len(run) + 1
    enough = math.log(first * (first + 1) / level(policy))
    alike = policy.evidence.requests_alike
    evidence = sequential.log_evidence_above(np.array(events / alike), np.array(total / alike), np.array(limit))
    lasted = watched_seconds(run)
    what = f"{say.format(events / total)} for {lasted:.0f} s, more than {limit:.2%} is too many"
    yield Trigger(name, events / total, limit, lasted, lasted >= seconds and float(evidence) >= enough, what)


def _drift(config: TriggerConfig, seen: Sequence[Observation]) -> Iterator[Trigger]:
    for limit in config.drift:
        name = limit.statistic

        def beyond(side: Side | None, limit: DriftLimit = limit) -> bool:
            known = (side.drift or {}) if side else {}
            by_chance = known.get(f"{limit.statistic.rpartition('_')[0]}_p_value", 0.0) > config.drift_chance
            return known.get(limit.statistic, math.nan) > limit.above and not by_chance

        run = _latest(seen, lambda window, beyond=beyond: beyond(window.canary))  # type: ignore[misc]
        if run and run[-1].canary and run[-1].canary.drift:
            last, lasted = run[-1], watched_seconds(run)
            now = run[-1].canary.drift[name]
            what = f"the new version's drift {name} is {now:.3g}, above {limit.above:g}, for {lasted:.0f} s"
            yield Trigger(
                f"drift {name}", now, limit.above, lasted, lasted >= config.drift_seconds, what, beyond(last.stable)
            )


def _latest(windows: Sequence[Observation], holds: Callable[[Observation], bool]) -> list[Observation]:
    """The newest windows in a row of which something holds."""
    return list(takewhile(holds, reversed(windows)))[::-1]


def _slow(side: Side, bound: float) -> tuple[float, float] | None:
    return (side.seconds.slower_than(bound), side.seconds.total) if side.seconds else None


def _failed(side: Side) -> tuple[float, float] | None:
    return None if side.failed is None or side.total is None else (side.failed, side.total)
