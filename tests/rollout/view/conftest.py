"""Rollouts that the real controller carried on, of a service that is seen whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from secondread.config.rollout import StageConfig
from secondread.rollout.analysis.observations import Agreement, Observation
from secondread.rollout.record.record import Plan, RolloutRecord
from tests.rollout.controller.test_controller import BEGUN, POLICY, World, run
from tests.rollout.seen import MINUTE, side, window


@dataclass
class Watched(World):
    """A world in which everything is known of both versions, but in some minutes of the rollout nothing."""

    dark: tuple[int, ...] = ()
    canary: dict[str, Any] = field(default_factory=dict)  # of the new version, in place of what is well
    shadow: Agreement | None = None  # of every window with requests

    def observe(self, plan: Plan, stage: StageConfig, start: float, end: float) -> Observation:
        assert plan.name == "chest"
        number = round((start - BEGUN) / MINUTE)
        if not stage.has_requests:
            return Observation(start, end)
        seen = window(number, percent=stage.traffic_percent, mirror=stage.mirror_percent)
        asked = 100 * (stage.traffic_percent + stage.mirror_percent)
        seen = replace(seen, start=start, end=end, shadow=self.shadow, canary=side(asked, number=number, **self.canary))
        return replace(seen, stable=None, canary=None, split=None) if number in self.dark else seen


@pytest.fixture
def world() -> Watched:
    return Watched()


@pytest.fixture
def record(tmp_path: Path) -> RolloutRecord:
    return RolloutRecord.begin(tmp_path / "1", Plan("chest", 1, 2, POLICY, "Ada", "it reads effusions", BEGUN))


Run = Callable[..., RolloutRecord]


@pytest.fixture
def carried(record: RolloutRecord, world: Watched) -> Run:
    """Carry the rollout on: by default until it ends, else for so many minutes."""

    def carry(minutes: int = 60, *, first: int = 1) -> RolloutRecord:
        run(record, world, at_most=minutes, first=first)
        return record

    return carry
