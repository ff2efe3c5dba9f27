"""`secondread train track`: gives MLflow what it lacks of a run, once it answers again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from secondread.cli.output import Json, example, print_json, print_line
from secondread.config.environment import Environment


def add_to(app: typer.Typer) -> None:
    """Add the command to `secondread train`."""
    app.command("track", epilog=example("secondread train track --complete var/model.tracking-64a715e4"))(track)


def track(
    complete: Annotated[
        Path, typer.Option(help="Folder that a training, evaluation or quantization named when MLflow did not answer.")
    ],
    json: Json = False,
) -> None:
    """Send MLflow what it lacks of a run. Doing it twice changes nothing."""
    from secondread.tracking.training_run import complete as send

    sent = send(complete, Environment.read().mlflow_tracking_uri)
    if json:
        print_json({"run": sent.run_id, "ended": sent.ended})
    elif sent.ended:
        print_line(f"MLflow has everything of run {sent.run_id}; {complete} is not needed any more and was removed.")
    else:
        print_line(
            f"MLflow has everything of run {sent.run_id} so far. The run did not end: {complete} stays for the "
            "training that goes on with it."
        )
