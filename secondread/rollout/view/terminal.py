"""A rollout in a terminal, as it is now; readable at 80 columns, and without colour."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from secondread.config.rollout import StageConfig
from secondread.rollout.analysis.decision import Action
from secondread.rollout.analysis.observations import Histogram, Observation, Side
from secondread.rollout.analysis.windows import judged, requests_of_new, watched_seconds
from secondread.rollout.record.record import RolloutRecord
from secondread.rollout.view.amounts import UNKNOWN, clock, count, duration, moment, one_line, share
from secondread.rollout.view.story import DONE, Episode, Story

_BAR = 24  # columns
_LAST = 6  # of what happened
_COLOURS: dict[str, str] = {Action.PROMOTE: "bold green", Action.ROLL_BACK: "bold red"}


def view(record: RolloutRecord, now: float) -> RenderableType:
    """All that a person who watches asks for: where it is, what it waits for, how both versions do, what was decided.

    Args:
        record: of the rollout.
        now: seconds since 1970.
    Raises:
        IntegrityError: the folder is none of a rollout, or was changed.
    """
    story = Story.of(record)
    parts: list[RenderableType] = [_head(story), Text(), _stages(story), *_warnings(story, now), Text()]
    if not story.state.ended:
        parts += [_waits_for(story), Text()]
    return Group(*parts, _sides(story, now), Text(), *_decided(story, now), _last(story))


def line(record: RolloutRecord, now: float) -> str:
    """The same in one line, for a log.

    Args:
        record: of the rollout.
        now: seconds since 1970.
    Raises:
        IntegrityError: as of `view`.
    """
    story = Story.of(record)
    plan = story.plan
    warnings = [f"{title}: {text}" for title, text in _said(story, now)]
    decided = [one_line(story.decided.reason)] if story.decided and not warnings else []
    where = f"{one_line(plan.name)}, version {plan.stable} -> {plan.candidate}, stage {_stage(story.stage)}:"
    return " ".join([where, *warnings, *decided])


def _head(story: Story) -> RenderableType:
    plan = story.plan
    begun = f"begun {moment(plan.begun)} by {one_line(plan.actor)}: {one_line(plan.reason)}"
    return Group(
        Text.assemble(
            (one_line(plan.name), "bold"), f"   version {plan.stable} -> ", (f"version {plan.candidate}", "bold")
        ),
        Text(begun, style="dim"),
    )


def _stages(story: Story) -> Text:
    """All in a row: those that are passed, the one that it is in, and those to come."""
    state, row = story.state, Text()
    ends: dict[str, tuple[str, str]] = {Action.PROMOTE: ("✓", "green"), Action.ROLL_BACK: ("✗", "bold red")}
    here = ends.get(state.ended, ("▶", "bold reverse"))
    for number, stage in enumerate(story.plan.policy.stages):
        mark, style = ("✓", "green") if number < state.stage else here if number == state.stage else ("·", "dim")
        row.append(f"{mark} {_stage(stage)}", style).append("  ")
    return row


def _stage(stage: StageConfig) -> str:
    name = one_line(stage.name)
    return f"{name} {stage.traffic_percent} %" if stage.traffic_percent else name


def _said(story: Story, now: float) -> Iterator[tuple[str, str]]:
    """What nobody may overlook: a title and a sentence each."""
    state = story.state
    if story.word:
        to = f" to version {story.word.to}" if story.word.to else ""
        asked = f"{one_line(story.word.actor)} asks to {story.word.action.replace('_', ' ')}{to}"
        yield "ASKED FOR, AND NOT DONE YET", f"{asked}: {one_line(story.word.reason)}"
    if state.ended:
        yield DONE[Action(state.ended)].upper(), story.sentence() + _why(story)
        return
    silent = now - state.seen
    if silent > story.plan.policy.evidence.age_seconds:
        yield "NOBODY LOOKS", f"The last look was {duration(silent)} ago. Is a controller running?"
    if state.paused:
        yield (
            "PAUSED",
            f"{one_line(state.paused).rstrip('.')}. Nothing changes until somebody resumes it, promotes or rolls back.",
        )
    else:
        for alarm in story.alarms:
            yield "ALARM", one_line(alarm.reason)
    if story.intent:
        yield "BEING DONE", f"{DONE[story.intent.decision.action]}: {one_line(story.intent.decision.reason)}"


def _why(story: Story) -> str:
    return f" {one_line(story.end.reason)}" if story.end else ""


def _warnings(story: Story, now: float) -> Iterator[RenderableType]:
    for title, text in _said(story, now):
        style = "green" if title == DONE[Action.PROMOTE].upper() else "bold red"
        yield Panel(Text(text), title=title, title_align="left", border_style=style)


def _waits_for(story: Story) -> RenderableType:
    """How much of what the stage asks for is there."""
    stage, state, policy = story.stage, story.state, story.plan.policy
    seen = [each for each in story.observations if each.start >= state.since]
    table = Table.grid(padding=(0, 2))
    if stage.has_requests:
        windows = judged(seen, stage, policy.evidence, since=state.since)
        watched, requests = watched_seconds(windows), requests_of_new(windows)
        asked = f"{duration(watched)} of {duration(stage.seconds_at_least)}"
        table.add_row("watched", _bar(watched, stage.seconds_at_least), asked)
        asked = f"{count(requests)} of {count(stage.requests_at_least)}"
        table.add_row("requests", _bar(requests, stage.requests_at_least), asked)
    if stage.checks:
        known = {name: passed for each in seen for name, passed in each.checks.items()}
        words = {True: "passed", False: "failed", None: "not done"}
        checks = ", ".join(f"{one_line(name)} {words[known.get(name)]}" for name in stage.checks)
        table.add_row("checks", "", Text(checks))
    left = f"{duration(state.stage_seconds)} of {duration(stage.deadline_seconds)}, then it is rolled back"
    table.add_row("deadline", _bar(state.stage_seconds, stage.deadline_seconds), left)
    return table


def _bar(done: float, total: float) -> RenderableType:
    return ProgressBar(total=total, completed=min(done, total), width=_BAR, complete_style="cyan") if total else ""


def _sides(story: Story, now: float) -> RenderableType:
    """The newest window, both versions beside each other."""
    if not story.observations:
        return Text("Nothing was seen of either version yet.")
    window, plan = story.observations[-1], story.plan
    ago = "" if story.state.ended else f", {duration(now - window.end)} ago"
    seen = Text(f"seen from {story.when(window.start)} to {clock(window.end)} UTC{ago}")
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(f"stable: {plan.stable}", justify="right")
    table.add_column(f"new: {plan.candidate}", justify="right")
    for name, stable, new in _figures(window):
        table.add_row(name, *(Text(text, "dim" if text == UNKNOWN else "") for text in (stable, new)))
    return Group(seen, table)


def _figures(window: Observation) -> Iterator[tuple[str, str, str]]:
    """What is told of a window: a name, and the figure of the stable and of the new version."""
    split, nobody = window.split, Side()
    stable, new = window.stable or nobody, window.canary or nobody
    if split:
        answered = split.stable + split.canary
        yield "share of the answers", share(split.stable, answered), share(split.canary, answered)
    mirrored = ", mirrored" if split and split.mirrored and new.total else ""
    yield "requests", count(stable.total), count(new.total) + mirrored
    yield "ready", _ready(stable), _ready(new)
    yield "restarts", count(stable.restarts), count(new.restarts)
    told: dict[str, Callable[[Side], str]] = {
        "failed": lambda side: share(side.failed, side.total),
        "P50": lambda side: _milliseconds(side.seconds, 0.5),
        "P99": lambda side: _milliseconds(side.seconds, 0.99),
        "out of distribution": lambda side: share(side.out_of_distribution, side.images),
        "read most often as": _most,
    }
    for name, of in told.items():
        yield name, of(stable), of(new)
    if window.shadow:
        yield "read differently", "", share(window.shadow.different, window.shadow.total)


def _milliseconds(seconds: Histogram | None, part: float) -> str:
    value = seconds.quantile(part) if seconds else None
    if seconds is None or value is None:
        return UNKNOWN
    beyond = "at least " if value >= seconds.bounds[-1] else ""
    return f"{beyond}{1000 * value:,.3g} ms" if value < 1 else f"{beyond}{value:,.3g} s"


def _ready(side: Side) -> str:
    if side.ready is None:
        return UNKNOWN
    problem = f": {one_line(side.problem)}" if side.problem else ""
    return "yes" if side.ready else f"no{problem}"


def _most(side: Side) -> str:
    if not side.predictions or not side.images:
        return UNKNOWN
    label, images = max(side.predictions.items(), key=lambda each: each[1])
    return f"{one_line(label)}, {share(images, side.images)}"


def _decided(story: Story, now: float) -> Iterator[RenderableType]:
    decided = story.decided
    if decided and not story.state.ended:
        what = f"{DONE[decided.what]}, {duration(now - decided.at)} ago: "
        yield Text.assemble("decided: ", (what, "bold"), one_line(decided.reason))
        yield Text()


def _last(story: Story) -> RenderableType:
    """What happened lately, the newest last, a line each."""
    episodes = story.episodes()[-_LAST:]
    what = [_what(episode) for episode in episodes]
    widest = max(map(len, what), default=0)
    lines = Text(no_wrap=True, overflow="ellipsis")
    for episode, text in zip(episodes, what, strict=True):
        event = episode.last
        quiet = "dim" if episode.quiet else ""
        style = "bold red" if event.alarm else _COLOURS.get(event.what, quiet)
        lines.append(f"{story.when(event.at)}  ").append(f"{text:<{widest}}", style).append(
            f"  {one_line(event.reason)}\n"
        )
    lines.rstrip()
    return lines


def _what(episode: Episode) -> str:
    event = episode.last
    times = f" x {episode.count}" if episode.count > 1 else ""
    return f"{'! ' if event.alarm else ''}{DONE.get(event.what, one_line(event.what))}{times}"
