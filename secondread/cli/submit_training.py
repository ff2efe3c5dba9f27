"""`secondread train submit`: sends a training to a running Ray cluster."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

from secondread.cli.output import Json, example, print_facts, print_json


def add_to(app: typer.Typer) -> None:
    """Add the command to `secondread train`."""
    line = "secondread train submit --address http://HEAD:8265 --data /mnt/data/v1 --output /mnt/data/model --wait"
    app.command("submit", epilog=example(line))(submit)


def submit(
    address: Annotated[str, typer.Option(help="URL of the cluster's job server, http://HEAD:8265.")],
    data: Annotated[str, typer.Option(help="Dataset version: folder on the cluster, or URI that `publish` printed.")],
    output: Annotated[str, typer.Option(help="Model folder to write, on a volume that every machine of it mounts.")],
    name: str = "secondread",
    settings: Annotated[
        list[str], typer.Option("--set", help="Any setting of the stage, such as train.processes=4.")
    ] = [],  # noqa: B006
    start: Annotated[str, typer.Option(help="Model folder on the cluster whose weights to begin with.")] = "",
    resume: Annotated[
        bool, typer.Option("--resume/--fresh", help="Go on from what the same run left when it was cut, or begin anew.")
    ] = True,
    wait: Annotated[bool, typer.Option("--wait", help="Show the job's log, and exit with its own verdict.")] = False,
    json: Json = False,
) -> None:
    """Send a training to a running Ray cluster, with this library's sources."""
    from secondread.config.mapping import from_mapping
    from secondread.config.settings import parse_settings
    from secondread.config.train import TrainConfig
    from secondread.training.submit import JobServer, Order

    given = parse_settings(settings, ("train",))["train"]
    from_mapping(TrainConfig, {"name": name, **given, "strategy": "ray"})  # refused here
    order = Order(data=data, output=output, name=name, settings=settings, start=start, resume=resume)
    server = JobServer.connect(address)
    job = server.submit(order, os.environ)
    document: dict[str, Any] = {"job": job}
    if wait:
        document |= server.wait(job, sys.stderr.write)
    if json:
        print_json(document)
        return
    figures = {key: f"{value:.4g}" for key, value in (document.pop("metrics", None) or {}).items() if value is not None}
    print_facts({**document, **figures})
