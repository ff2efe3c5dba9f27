"""What is seen of both versions in a window: figures by Prometheus, and the rest by whoever splits the requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from secondread.config.observe import ObserveConfig
from secondread.config.rollout import StageConfig
from secondread.rollout.analysis.observations import Agreement, Observation, Side, Split
from secondread.rollout.metrics.observe import observe_side
from secondread.rollout.record.record import Plan
from secondread.rollout.splitters import splitter
from secondread.rollout.splitters.splitter import Splitter

if TYPE_CHECKING:
    from secondread.rollout.splitters.envoy import Traffic


class Watch:
    """Observes one rollout; what a controller calls `Observe`.

    Args:
        config: where figures come from.
        splitter: that shares the requests.
        traffic: how many requests it has given to whom so far; None where it does not count. Then what the versions
            themselves counted is taken, which cannot tell a mirrored request from another.
        agreement: how many of the images from the one time to the other both versions read, and how many differently;
            None where nobody knows. Asked in stages with mirrored requests.
    """

    def __init__(
        self,
        config: ObserveConfig,
        splitter: Splitter,
        traffic: Callable[[], Traffic] | None = None,
        agreement: Callable[[float, float], Agreement | None] | None = None,
    ) -> None:
        self._config, self._splitter, self._traffic, self._agreement = config, splitter, traffic, agreement
        self._before: tuple[float, Traffic] | None = None

    def __call__(self, plan: Plan, stage: StageConfig, start: float, end: float) -> Observation:
        """What was seen from the one time to the other, seconds since 1970.

        Raises:
            DependencyError: whoever splits the requests does not answer.
        """
        there = self._splitter.read()

        def seen(version: int, side: splitter.Side) -> Side:
            found = None
            if stage.has_requests:
                found = observe_side(self._config, plan.name, str(version), start=start, end=end)
            restarts = None if side.restarts is None else float(side.restarts)
            return replace(found or Side(), ready=side.ready, restarts=restarts, problem=side.problem)

        stable = seen(plan.stable, there.stable)
        canary = seen(plan.candidate, there.candidate) if there.candidate else None
        shadow = self._agreement(start, end) if self._agreement and stage.mirror_percent else None
        return Observation(start, end, stable, canary, self._split(stable, canary, start, end), shadow)

    def _split(self, stable: Side, canary: Side | None, start: float, end: float) -> Split | None:
        if self._traffic is None:
            known = canary and stable.total is not None and canary.total is not None
            return Split(stable.total or 0.0, canary.total or 0.0) if canary and known else None
        now, before = self._traffic(), self._before
        self._before = (end, now)
        # What a window before this one left; a controller that begins has none, and knows at the next look.
        return now.since(before[1]) if before and before[0] == start else None
