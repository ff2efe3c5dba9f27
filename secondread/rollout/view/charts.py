"""What was seen of both versions over the time of a rollout, as lines; what is not known is a gap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from secondread.config.rollout import TriggerConfig
from secondread.page.marks import Mark, Phase
from secondread.page.over_time import Line, over_time_svg
from secondread.rollout.analysis.observations import Histogram, Observation, Side
from secondread.rollout.view.story import Story

STABLE, NEW = ("c0", 1), ("c1", 0)  # colour and dashes of the two versions, the same in all charts
_GAP = 1.5  # times its length that a window may come later than the one before without a gap

Figure = Callable[[Side], float | None]


@dataclass(frozen=True)
class Chart:
    """A chart and its legend.

    Attributes:
        lines: for the legend.
        svg: the drawing; None where nothing is known.
    """

    lines: tuple[Line, ...]
    svg: Markup | None


class Charts:
    """All charts of a rollout, on the same axis of time.

    Args:
        story: of the rollout.
        phases: its stages.
        marks: what happened.
    """

    def __init__(self, story: Story, phases: Sequence[Phase], marks: Sequence[Mark]) -> None:
        self._story, self._phases, self._marks = story, phases, marks
        self._windows = _with_gaps(story.observations)
        begun = story.plan.begun
        self._places = [max(0.0, (window.start + window.end) / 2 - begun) for window in self._windows]
        self._total = max(story.until - begun, 1.0)

    def traffic(self) -> Chart:
        """Whose answers callers got, and how many requests were mirrored, as it was measured."""

        def part(which: str) -> list[float | None]:
            splits = [window.split for window in self._windows]
            return [
                100 * getattr(split, which) / (split.stable + split.canary)
                if split and split.stable + split.canary
                else None
                for split in splits
            ]

        new, stable = self._names()
        lines = Line(new, part("canary"), *NEW), Line(stable, part("stable"), *STABLE)
        return self._drawn((*lines, Line("mirrored to the new one", part("mirrored"), "c5", 2)), "requests, %")

    def rates(self) -> Chart:
        """Requests a second of both, mirrored ones among them."""
        return self._both("requests a second", lambda side, window: _over(side.total, window.seconds), height=110)

    def latency(self, share: float) -> Chart:
        """A quantile of the time that answers took, in milliseconds."""
        limit = self._triggers.latency_ms_above
        of_limit = limit if limit is not None and share == 1 - self._triggers.latency_share else None
        return self._both(
            f"{100 * share:g} % within, ms",
            lambda side, _: None if (found := _quantile(side.seconds, share)) is None else 1000 * found,
            limit=of_limit,
        )

    def errors(self) -> Chart:
        """Share of requests that failed."""
        limit = self._triggers.errors_above
        return self._both(
            "failed, %", lambda side, _: _percent(side.failed, side.total), limit=None if limit is None else 100 * limit
        )

    def classes(self, which: str) -> Chart:
        """Share of each predicted class; `which` is stable or canary."""
        labels = sorted(
            {label for window in self._windows for side in _sides(window) for label in side.predictions or ()}
        )
        lines = tuple(
            Line(
                label, [_class(getattr(window, which), label) for window in self._windows], f"c{number % 9}", number % 4
            )
            for number, label in enumerate(labels)
        )
        return self._drawn(lines, "images, %")

    def outside(self) -> Chart:
        """Share of images out of distribution."""
        return self._both("out of distribution, %", lambda side, _: _percent(side.out_of_distribution, side.images))

    def confidence(self) -> Chart:
        """Median confidence, in percent."""
        return self._both(
            "median confidence, %", lambda side, _: _percent(_quantile(side.confidence, 0.5), 1.0), floor=50
        )

    def drift(self) -> list[tuple[str, Chart]]:
        """Each drift statistic that has a limit, by its name."""
        return [
            (each.statistic, self._both(each.statistic, _drift(each.statistic), limit=each.above, height=130))
            for each in self._triggers.drift
        ]

    @property
    def _triggers(self) -> TriggerConfig:
        return self._story.plan.policy.triggers

    def _names(self) -> tuple[str, str]:
        plan = self._story.plan
        return f"new: version {plan.candidate}", f"stable: version {plan.stable}"

    def _both(
        self,
        title: str,
        figure: Callable[[Side, Observation], float | None],
        *,
        limit: float | None = None,
        floor: float = 0.0,
        height: float = 170,
    ) -> Chart:
        """A figure of both versions; the axis begins at `floor` where nothing is below."""
        new, stable = (
            [figure(side, window) if (side := getattr(window, which)) else None for window in self._windows]
            for which in ("canary", "stable")
        )
        names = self._names()
        lines = Line(names[0], new, *NEW), Line(names[1], stable, *STABLE)  # dashes over a line: both are seen
        return self._drawn(lines, title, limit=limit, floor=floor, height=height)

    def _drawn(
        self,
        lines: tuple[Line, ...],
        title: str,
        *,
        limit: float | None = None,
        floor: float = 0.0,
        height: float = 170,
    ) -> Chart:
        known = [value for line in lines for value in line.values if value is not None]
        if not known:
            return Chart(lines, None)
        svg = over_time_svg(
            self._places,
            lines,
            total=self._total,
            title=title,
            height=height,
            limit=limit,
            floor=floor if min(known) >= floor else 0.0,
            phases=self._phases,
            marks=self._marks,
        )
        return Chart(lines, svg)


def _with_gaps(windows: Sequence[Observation]) -> list[Observation]:
    """The windows, and one of which nothing is known wherever nobody looked for a while."""
    found: list[Observation] = []
    for window in windows:
        if found and window.start - found[-1].end > _GAP * found[-1].seconds:
            found.append(Observation(found[-1].end, window.start))
        found.append(window)
    return found


def _sides(window: Observation) -> list[Side]:
    return [side for side in (window.stable, window.canary) if side]


def _over(part: float | None, total: float | None) -> float | None:
    return None if part is None or not total else part / total


def _percent(part: float | None, total: float | None) -> float | None:
    found = _over(part, total)
    return None if found is None else 100 * found


def _quantile(histogram: Histogram | None, share: float) -> float | None:
    return histogram.quantile(share) if histogram else None


def _class(side: Side | None, label: str) -> float | None:
    return _percent(side.predictions.get(label, 0.0), side.images) if side and side.predictions else None


def _drift(statistic: str) -> Callable[[Side, Observation], float | None]:
    return lambda side, _: (side.drift or {}).get(statistic)
