"""What happened in a rollout, as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from secondread.config.rollout import RolloutConfig, StageConfig
from secondread.page.marks import Mark, Phase
from secondread.page.over_time import swatch_svg
from secondread.page.page import render_page
from secondread.rollout.analysis.decision import Action
from secondread.rollout.record.record import RolloutRecord
from secondread.rollout.view.amounts import count, duration, moment, share
from secondread.rollout.view.charts import Charts
from secondread.rollout.view.story import DONE, Episode, Story

_TEMPLATE = Path(__file__).parent / "timeline.html"
_KINDS: dict[str, str] = {Action.PROMOTE: "good", Action.ROLL_BACK: "bad", Action.INCONCLUSIVE: "look"}
_UNMARKED = ("begun", "checked")  # of which the table tells; in a chart they would crowd the first minute


def timeline_page(record: RolloutRecord) -> str:
    """The page; of one that goes on, as far as it came.

    Args:
        record: of the rollout.
    Raises:
        IntegrityError: the folder is none of a rollout, or was changed.
    """
    story = Story.of(record)
    return render_page(
        _TEMPLATE,
        {
            "count": count,
            "duration": duration,
            "moment": moment,
            "when": story.when,
            "figure": lambda value: f"{value:,.4g}",
        },
        story=story,
        plan=story.plan,
        stays={stay.stage.name: stay for stay in story.stays()},
        answered=story.answered(),
        share=share,
        verdict=_verdict(story),
        limits=_limits(story.plan.policy),
        asks=_asks,
        episodes=story.episodes(),
        done=DONE,
        charts=charts_of(story),
        swatch=swatch_svg,
        synthetic=False,  # these figures say something whatever was sent
    )


def charts_of(story: Story) -> Charts:
    """The page's charts, with the stages on them, and at what was done its number among the episodes.

    Args:
        story: of the rollout.
    """
    return Charts(story, _phases(story), _marks(story, story.episodes()))


def _verdict(story: Story) -> tuple[str, str]:
    """A word, and its style class."""
    if story.state.ended == Action.PROMOTE:
        return "✓ promoted", "passed"
    if story.state.ended:
        return "✗ rolled back", "refused"
    return ("paused", "waits") if story.state.paused else ("under way", "waits")


def _phases(story: Story) -> list[Phase]:
    begun = story.plan.begun
    return [
        Phase(
            max(0.0, stay.start - begun),
            max(0.0, stay.end - begun),
            stay.stage.name,
            f"stage {stay.stage.name}, {_gets(stay.stage)}, for {duration(stay.end - stay.start)}",
        )
        for stay in story.stays()
    ]


def _marks(story: Story, episodes: Sequence[Episode]) -> list[Mark]:
    """All that was done, and alarms, by the numbers of the table; not the looks that changed nothing."""
    return [
        Mark(
            max(0.0, episode.first.at - story.plan.begun),
            f"{number}",
            _kind(episode),
            f"{story.when(episode.first.at)} {DONE.get(episode.last.what, episode.last.what)}: {episode.last.reason}",
            f"#event-{number}",
        )
        for number, episode in enumerate(episodes, start=1)
        if not episode.quiet and (episode.last.alarm or episode.first.what not in _UNMARKED)
    ]


def _kind(episode: Episode) -> str:
    return "look" if episode.last.alarm else _KINDS.get(episode.last.what, "plain")


def _gets(stage: StageConfig) -> str:
    if stage.traffic_percent:
        return f"{stage.traffic_percent} % of the requests"
    return f"a copy of {stage.mirror_percent} % of the requests" if stage.mirror_percent else "no requests"


def _asks(stage: StageConfig) -> str:
    """What a stage asks for, in short."""
    parts = list(stage.checks)
    if stage.has_requests:
        parts.append(f"{duration(stage.seconds_at_least)} and {stage.requests_at_least:,} requests")
    return ", ".join(parts)


def _limits(policy: RolloutConfig) -> list[str]:
    """What would have it rolled back, in short."""
    found, triggers = [], policy.triggers
    if triggers.latency_ms_above is not None:
        found.append(
            f"more than {100 * triggers.latency_share:g} % of its answers take longer than "
            f"{triggers.latency_ms_above:g} ms, for {duration(triggers.latency_seconds)}"
        )
    if triggers.errors_above is not None:
        found.append(
            f"more than {100 * triggers.errors_above:g} % of its requests fail, for {duration(triggers.errors_seconds)}"
        )
    found += [
        f"drift {each.statistic} is above {each.above:g}, for {duration(triggers.drift_seconds)}"
        for each in triggers.drift
    ]
    found.append(f"it is not ready for {duration(triggers.unready_seconds)}")
    found.append(f"its servers restart more than {triggers.restarts_above} times, where that is known")
    found.append("it is shown to be worse than the stable version, of the same images at the same time")
    return found
