"""How much a running server bears: the highest rate of answers that keeps what a load test asks for.

Callers ask as soon as they have their answer, so that their number decides the load. It is doubled until the server
bears it no more, and then halved in, until the two ends are an eighth apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from secondread.config.loadtest import LoadTestConfig
from secondread.evaluation.verdict import GateResult
from secondread.logging import get_logger
from secondread.serving.load.loadtest import loadtest
from secondread.serving.load.result import LoadTestResult, refuse

MOST_CALLERS = 512  # of one machine; beyond it the callers are what is measured
_APART = 8  # share of the callers that the two ends of the search come to differ by: one in so many

log = get_logger(__name__)


@dataclass(frozen=True)
class LoadLimit:
    """What a search found.

    Attributes:
        steps: by number of callers, in the order of that number.
        borne: those numbers that the server bore.
    """

    steps: dict[int, LoadTestResult]
    borne: tuple[int, ...]

    @property
    def best(self) -> int | None:
        """Callers of the highest rate that was borne; None where none was."""
        return max(self.borne, key=lambda callers: self.steps[callers].rate_per_second, default=None)

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        steps = [
            {"callers": callers, "borne": callers in self.borne, **result.to_json(over_time=False)}
            for callers, result in self.steps.items()
        ]
        rate = None if self.best is None else self.steps[self.best].rate_per_second
        return {"limit_per_second": rate, "callers": self.best, "steps": steps}

    def table(self) -> str:
        """For people."""
        lines = [f"{'callers':>7}  {'answers/s':>9}  {'P50 ms':>7}  {'P99 ms':>7}  {'failed':>7}"]
        for callers, result in self.steps.items():
            times = (f"{value:7.1f}" if value is not None else f"{'-':>7}" for value in (result.p50_ms, result.p99_ms))
            row = f"{callers:7}  {result.rate_per_second:9.1f}  {'  '.join(times)}  {result.failure_share:7.2%}"
            lines.append(row + ("" if callers in self.borne else "  too much"))
        if self.best is not None:
            lines.append(f"the limit is {self.steps[self.best].rate_per_second:.1f} answers a second")
        return "\n".join(lines)

    def gate(self, config: LoadTestConfig) -> GateResult:
        """What the load test says of the highest rate that was borne; of the first load where even that was too much.

        The search takes a step of few requests for what it is; here, too few are too few.
        """
        return self.steps[min(self.steps) if self.best is None else self.best].gate(config)

    def check(self, config: LoadTestConfig) -> None:
        """Say no where even the first load was too much, or too little was measured.

        Raises:
            GateRefused: it was.
        """
        refuse(self.gate(config))


def find_limit(
    config: LoadTestConfig,
    *,
    images: Path | None = None,
    report: Path,
    token: str = "",
    run: Callable[..., LoadTestResult] = loadtest,
) -> LoadLimit:
    """Search for the limit.

    Args:
        config: where, how long each step, and what must be kept; `users` is the number to begin with.
        images: folder of JPEG, PNG or DICOM files to send; phantoms by default.
        report: HTML file; each step's has its number of callers before the suffix.
        token: that the server wants; empty for none.
        run: the load test of one step.
    Raises:
        As `loadtest`.
    """
    steps: dict[int, LoadTestResult] = {}
    borne: list[int] = []

    def bears(callers: int) -> bool:
        page = report.with_name(f"{report.stem}-{callers}{report.suffix}")
        step = replace(config, shape="constant", users=callers, think_seconds=0.0, requests_at_least=1)
        steps[callers] = result = run(step, images=images, report=page, token=token)
        log.info("%d callers: %.1f answers a second, P99 %s ms", callers, result.rate_per_second, result.p99_ms)
        if result.gate(step).passed:
            borne.append(callers)
        return callers in borne

    low, high = 0, config.users
    while bears(high):
        low, high = high, 2 * high
        if high > MOST_CALLERS:
            break
    else:
        while low and high - low > max(1, low // _APART):
            middle = (low + high) // 2
            low, high = (middle, high) if bears(middle) else (low, middle)
    return LoadLimit(dict(sorted(steps.items())), tuple(sorted(borne)))
