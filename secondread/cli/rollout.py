"""`secondread rollout`: let a new version in, watch it, and have the last word."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from secondread.cli import edge
from secondread.cli.output import Json, example, print_json, print_line, print_table
from secondread.config.environment import Environment
from secondread.config.serve import ServeConfig
from secondread.config.settings import parse_settings
from secondread.errors import GateRefused, InputError

if TYPE_CHECKING:
    # what asks the registry takes seconds to import, which `--help` should not pay
    from secondread.config.control import ControlConfig
    from secondread.rollout.record.record import RolloutRecord

_SHOWN_SECONDS = 1.0  # between two pictures of a rollout that is watched

app = typer.Typer(help="Let a new version in by stages, and out again if it does not earn it.", no_args_is_help=True)

Name = Annotated[str, typer.Option(help="Of the model.")]
Actor = Annotated[str, typer.Option(help="Who does it.", envvar="USER")]
Reason = Annotated[str, typer.Option(help="Why, in a sentence.")]
Number = Annotated[int, typer.Option("--rollout", help="Its number; 0: the newest.")]
ControlFile = Annotated[
    Path | None,
    typer.Option("--control", help="How it is carried on, a control.yaml.", envvar="SECONDREAD_CONTROL"),
]
Settings = Annotated[
    list[str], typer.Option("--set", help="A setting of the control file, such as control.interval_seconds=30.")
]

edge.add_to(app)


@app.command(
    epilog=example(
        "secondread rollout start --reason 'learned from 2,000 more films'",
        "secondread rollout start 7 --policy docs/rollout.yaml --detach --reason 'fewer missed effusions'",
    )
)
def start(
    reason: Reason,
    candidate: Annotated[str, typer.Argument(help="Version or alias.")] = "challenger",
    name: Name = ServeConfig.name,
    policy: Annotated[Path | None, typer.Option(help="A rollout.yaml; by default docs/rollout.yaml's values.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Begin only: `rollout control` carries it on.")] = False,
    actor: Actor = "unknown",
    control: ControlFile = None,
    settings: Settings = [],  # noqa: B006
    json: Json = False,
) -> None:
    """Begin to let a version in beside the champion, and carry that on until it has ended.

    Exit code 4 where the version is rolled back. Ctrl-C leaves the rollout as it is: `rollout control` goes on with it.
    """
    from secondread.config.rollout import RolloutConfig
    from secondread.rollout.analysis.policy import read_policy
    from secondread.rollout.controller.carry_on import begin

    environment, config = Environment.read(), _control(control, settings)
    record = begin(
        candidate,
        name=name,
        policy=read_policy(policy) if policy else RolloutConfig(),
        config=config,
        environment=environment,
        actor=actor,
        reason=_said(reason),
        now=time.time(),
    )
    if not detach:
        _carry_on(record, config, environment)
    _show(record, json=json)
    _refuse(record)


@app.command(epilog=example("secondread rollout control", "secondread rollout control --control control.yaml --once"))
def control(
    once: Annotated[bool, typer.Option("--once", help="Look once, as a cron job would.")] = False,
    heartbeat: Annotated[
        Path | None, typer.Option(help="File to touch after each look, for whoever sees that it goes on.")
    ] = None,
    control_file: ControlFile = None,
    settings: Settings = [],  # noqa: B006
) -> None:
    """Carry on every rollout that has not ended, and those that begin later, until Ctrl-C."""
    from secondread.rollout.controller.carry_on import Carrier
    from secondread.rollout.record.home import Rollouts

    environment, config = Environment.read(), _control(control_file, settings)
    with Carrier(config, environment) as carrier:
        if once:
            carrier.once(Rollouts(environment.home).running(), now=time.time())
        else:
            seen = heartbeat.touch if heartbeat else lambda: None
            carrier.all(clock=time.time, stop=_stopped(), seen=seen)


@app.command(
    epilog=example("secondread rollout status", "secondread rollout status --watch", "secondread rollout status --json")
)
def status(
    name: Name = ServeConfig.name,
    number: Number = 0,
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing it until it has ended.")] = False,
    json: Json = False,
) -> None:
    """Show where a rollout is: its stage, both versions' figures, and what was decided why."""
    record = _rollout(name, number)
    if watch and not json:
        from secondread.rollout.view.live import LiveView

        stop = _stopped()
        with LiveView(record) as live:
            while not record.read().state.ended and not stop.wait(_SHOWN_SECONDS):
                live.show()
    else:
        _show(record, json=json)


@app.command(epilog=example("secondread rollout pause --reason 'a scanner is being replaced'"))
def pause(
    reason: Reason,
    name: Name = ServeConfig.name,
    actor: Actor = "unknown",
    control: ControlFile = None,
) -> None:
    """Hold a rollout where it is, whatever is seen, until somebody resumes it."""
    _say("pause", name, actor, reason, _control(control, []))


@app.command(epilog=example("secondread rollout resume --reason 'the scanner is back'"))
def resume(
    reason: Reason,
    name: Name = ServeConfig.name,
    actor: Actor = "unknown",
    control: ControlFile = None,
) -> None:
    """Let a rollout go on that was paused, by a person or because it could not be told."""
    _say("resume", name, actor, reason, _control(control, []))


@app.command(epilog=example("secondread rollout promote --reason 'the old one misses every effusion'"))
def promote(
    reason: Reason,
    name: Name = ServeConfig.name,
    actor: Actor = "unknown",
    control: ControlFile = None,
) -> None:
    """Make the version that is tried the champion now, whatever is still to be shown. It must be ready, and signed."""
    _say("promote", name, actor, reason, _control(control, []))


@app.command(
    epilog=example(
        "secondread rollout rollback --reason 'readings are late'",
        "secondread rollout rollback --to 3 --reason 'both are wrong since Monday'",
    )
)
def rollback(
    reason: Reason,
    to: Annotated[int, typer.Option(help="Version to go back to; by default the champion stays.")] = 0,
    name: Name = ServeConfig.name,
    actor: Actor = "unknown",
    control: ControlFile = None,
) -> None:
    """End a rollout now. With --to, also go back to an earlier version, be a rollout running or not."""
    if to:
        from secondread.tracking.registry import Registry

        Registry(Environment.read().mlflow_tracking_uri).get(name, str(to))
    _say("roll_back", name, actor, reason, _control(control, []), to=to)


@app.command(
    epilog=example("secondread rollout history", "secondread rollout history --rollout 3 --html var/rollout-3.html")
)
def history(
    name: Name = ServeConfig.name,
    number: Number = 0,
    html: Annotated[Path | None, typer.Option(help="Write the timeline of one rollout, a page.")] = None,
    json: Json = False,
) -> None:
    """List the rollouts of a model, or the events of one of them, or write its timeline."""
    from secondread.rollout.record.home import Rollouts

    if html is not None:
        from secondread.atomic import atomic_file
        from secondread.rollout.view.page import timeline_page

        page = timeline_page(_rollout(name, number))
        with atomic_file(html) as aside:
            aside.write_text(page, encoding="utf-8")
        print_line(f"timeline {html}")
        return
    records = [_rollout(name, number)] if number else Rollouts(Environment.read().home).all(name)
    if json:
        print_json([_as_json(each) for each in records])
    elif not records:
        print_line(f"there has been no rollout of '{name}'")
    else:
        print_table(_events(records[0]) if number else _rollouts(records))


def _control(file: Path | None, settings: list[str]) -> ControlConfig:
    from secondread.rollout.controller.control import read_control

    return read_control(file, parse_settings(settings, ("control",))["control"])


def _rollout(name: str, number: int = 0) -> RolloutRecord:
    from secondread.rollout.record.home import Rollouts

    return Rollouts(Environment.read().home).get(name, number)


def _stopped() -> threading.Event:
    """Set by Ctrl-C, and by who asks a process to end."""
    stop = threading.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: stop.set())
    return stop


def _carry_on(record: RolloutRecord, config: ControlConfig, environment: Environment) -> None:
    from secondread.rollout.controller.carry_on import Carrier
    from secondread.rollout.view.live import LiveView

    with LiveView(record, lines=False) as live, Carrier(config, environment) as carrier:
        carrier.until_ended(record, clock=time.time, stop=_stopped(), seen=live.show)


def _say(
    action: Literal["pause", "resume", "promote", "roll_back"],
    name: str,
    actor: str,
    reason: str,
    config: ControlConfig,
    *,
    to: int = 0,
) -> None:
    """Ask for something, have it done, and say what happened."""
    from secondread.rollout.controller.ask import ask
    from secondread.rollout.record.record import Word

    word = Word(action, actor, _said(reason), to)
    events = ask(_rollout(name), word, config=config, environment=Environment.read())
    for line in dict.fromkeys(f"{event.what.replace('_', ' ')}: {event.reason}" for event in events):
        print_line(line)  # what is tried again while a server starts is said once


def _show(record: RolloutRecord, *, json: bool) -> None:
    from secondread.rollout.view.terminal import view

    if json:
        print_json(_as_json(record))
    else:
        Console(highlight=False).print(view(record, time.time()))


def _refuse(record: RolloutRecord) -> None:
    """Say with the exit code that a version was rolled back."""
    state = record.read().state
    if state.ended == "roll_back":
        raise GateRefused(f"version {record.plan.candidate} was rolled back: {_last(record)}")


def _last(record: RolloutRecord) -> str:
    """Why it ended, or what happened last."""
    from secondread.rollout.view.story import Story

    story = Story.of(record)
    event = story.end or next(reversed(story.events), None)
    return event.reason if event else ""


def _as_json(record: RolloutRecord) -> dict[str, Any]:
    from dataclasses import asdict

    plan, kept = record.plan, record.read()
    return {
        "rollout": int(record.folder.name),
        "name": plan.name,
        "stable": plan.stable,
        "candidate": plan.candidate,
        "actor": plan.actor,
        "reason": plan.reason,
        "begun": plan.begun,
        "stage": plan.policy.stages[kept.state.stage].name,
        "state": asdict(kept.state),
        "events": [asdict(each) for each in record.events()],
    }


def _rollouts(records: list[RolloutRecord]) -> Table:
    table = Table(
        "rollout", "begun (UTC)", "stable", "candidate", "by", "stage", "ended", "why", box=None, pad_edge=False
    )
    for record in records:
        plan, state = record.plan, record.read().state
        ended = state.ended.replace("_", " ") or ("paused" if state.paused else "-")
        stage = plan.policy.stages[state.stage].name
        versions = (str(plan.stable), str(plan.candidate))
        table.add_row(record.folder.name, _at(plan.begun), *versions, plan.actor, stage, ended, _last(record))
    return table


def _events(record: RolloutRecord) -> Table:
    table = Table("at (UTC)", "stage", "what", "", "why", box=None, pad_edge=False)
    for event in record.events():
        alarm = "alarm" if event.alarm else ""
        table.add_row(_at(event.at), event.stage, event.what.replace("_", " "), alarm, event.reason)
    return table


def _at(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))


def _said(reason: str) -> str:
    if not reason.strip():
        raise InputError("--reason is empty: say why, in a sentence.")
    return reason.strip()
