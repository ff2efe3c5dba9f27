"""`secondread train`: from a dataset version to a model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from secondread.cli import compare, cross_validate, pretrain, submit_training, track
from secondread.cli.output import Json, example, print_facts, print_json
from secondread.config.environment import Environment
from secondread.config.mapping import from_mapping
from secondread.config.settings import parse_settings
from secondread.config.train import TrainConfig
from secondread.errors import InputError

app = typer.Typer(
    help="Train a model on a dataset version.",
    invoke_without_command=True,
    epilog=example("secondread train --data var/dataset --output var/model --set train.epochs=12"),
)

Set = Annotated[list[str], typer.Option("--set", help="Any setting of the stage, such as train.epochs=12.")]


@app.callback(epilog=example("secondread train --data var/dataset --output var/model --set train.epochs=12"))
def train(
    context: typer.Context,
    data: Annotated[
        Path | None, typer.Option(help="Dataset version: a folder that `data preprocess` wrote. Required.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder to write; it appears whole or not at all. Required.")
    ] = None,
    name: str = "secondread",
    settings: Set = [],  # noqa: B006
    start: Annotated[
        Path | None, typer.Option(help="Model folder whose weights to begin with: of the same preset and classes.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--fresh", help="Go on from what the same run left when it was cut, or begin anew.")
    ] = True,
    json: Json = False,
) -> None:
    """Train a model on a dataset version."""
    if context.invoked_subcommand is not None:
        return
    if data is None or output is None:
        raise InputError("train needs --data and --output. `secondread train --help` shows an example.")
    from secondread.data.versions.dataset import DatasetVersion
    from secondread.pipeline.tags import run_tags
    from secondread.tracking.datasets import TrackedDataset
    from secondread.tracking.origin import Origin
    from secondread.tracking.runs import TrackingConfig
    from secondread.training.train import train as run

    version = DatasetVersion.open(data)
    environment = Environment.read()
    tracking = TrackingConfig(
        uri=environment.mlflow_tracking_uri,
        experiment=name,
        tags=run_tags(version, environment),
        dataset=TrackedDataset(version, str(data.resolve())),
    )
    config = from_mapping(TrainConfig, {"name": name, **parse_settings(settings, ("train",))["train"]})
    result = run(version, output, config, tracking=tracking, resume=resume, start=start)
    Origin(result.run_id, artifacts=output.name).write(output)
    if json:
        print_json({"model": str(output), "metrics": dict(result.metrics), "mlflow_run": result.run_id})
    else:
        figures = {key: f"{value:.4g}" for key, value in result.metrics.items() if value is not None}
        print_facts({**figures, "MLflow run": result.run_id, "written to": output})


cross_validate.add_to(app)
compare.add_to(app)
track.add_to(app)
pretrain.add_to(app)
submit_training.add_to(app)
