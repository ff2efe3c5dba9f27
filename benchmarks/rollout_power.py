"""How many requests it takes to see a small fault: `docs/rollout-power.md`.

.venv/bin/python -m benchmarks.rollout_power
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from benchmarks.machine import commit
from benchmarks.rollout import INTERVAL, RATE, Ended, simulated
from benchmarks.rollout_traffic import GOOD, Version
from benchmarks.workplace import ROOT
from secondread import logging
from secondread.atomic import atomic_file
from secondread.config.rollout import RolloutConfig, StageConfig
from secondread.rollout.analysis.decision import Action

PAGE = ROOT / "docs" / "rollout-power.md"
ROLLOUTS = 100
REQUESTS = (600, 1200, 2400, 3600, 4800, 7200, 9600, 14400)  # of the new version
FAULTS = {
    "every request takes 20 % longer": Version(slower=1.2),
    "every request takes twice as long": Version(slower=2.0),
    "the slowest hundredth takes twice as long": Version(tail=2.0),
    "1 point more requests fail": Version(errors=GOOD.errors + 0.01),
    "2 points more requests fail": Version(errors=GOOD.errors + 0.02),
    "5 points more requests fail": Version(errors=GOOD.errors + 0.05),
    "nothing": GOOD,
}
_HEAD = """\
# How many requests it takes to see a fault

Written by `.venv/bin/python -m benchmarks.rollout_power`; commit `{commit}`. Share of {rollouts} simulated rollouts
in which the new version has been rolled back by the time it had so many requests. The stage goes on for as long as that
takes; {rate:.0f} requests a second altogether, a look every {interval:.0f} s, the shipped policy's limits, latencies as
they were recorded of a real server (`benchmarks/rollout_noise.py`).
"""
_SHARED = """
## A tenth of the traffic, and both versions have the same bad minutes

As on one machine, or in one cluster that is busy for both.

"""
_APART = """
## A tenth of the traffic, and each version has bad minutes of its own

As on machines with other neighbours. What is failed and read is told as soon; of times, it takes more minutes to tell
a bad version from bad minutes, however many requests there are in each.

"""
_HALF = """
## Half of the traffic, and both versions have the same bad minutes

"""


def main() -> None:
    """Simulate, and write the page."""
    logging.configure()
    head = _HEAD.format(commit=commit(ROOT), rollouts=ROLLOUTS, rate=RATE, interval=INTERVAL)
    parts = [head, _SHARED, _table(10, apart=False), _APART, _table(10, apart=True), _HALF, _table(50, apart=False)]
    with atomic_file(PAGE) as aside:
        aside.write_text("".join(parts), encoding="utf-8")


def _table(percent: int, *, apart: bool) -> str:
    lines = [
        f"| fault | {' | '.join(f'{count:,}' for count in REQUESTS)} |",
        f"|---|{'---:|' * len(REQUESTS)}",
    ]
    for words, version in FAULTS.items():
        ended = _ended(words, version, percent, apart=apart)
        cells = " | ".join(f"{_caught(ended, count):.0%}" for count in REQUESTS)
        lines.append(f"| {words} | {cells} |")
    return "\n".join(lines) + "\n"


def _ended(words: str, version: Version, percent: int, *, apart: bool) -> Sequence[Ended]:
    """Rollouts that never pass their one stage, left once there were enough requests."""
    seconds = REQUESTS[-1] / (RATE * percent / 100)
    long = {"seconds_at_least": 1e9, "undecided_seconds": 1e9, "deadline_seconds": 1e9}
    policy = RolloutConfig()
    stages = [replace(stage, **long) if stage.traffic_percent == percent else stage for stage in policy.stages]
    stage: StageConfig = next(each for each in stages if each.traffic_percent == percent)
    policy = replace(policy, stages=tuple(stages), deadline_seconds=1e9)
    end = policy.evidence.settle_seconds + seconds
    return simulated(words, ROLLOUTS, new=version, policy=policy, first=stage.name, seconds=end, apart=apart)


def _caught(ended: Sequence[Ended], requests: int) -> float:
    """Requests vary by chance from minute to minute: a look's worth more is taken for the same."""
    most = 1.05 * requests
    return sum(each.action is Action.ROLL_BACK and each.requests <= most for each in ended) / len(ended)


if __name__ == "__main__":
    main()
