"""`secondread train compare`: the same recipe by several strategies, with intervals over seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from secondread.cli.output import Json, example, print_facts, print_json, print_line, print_table
from secondread.config.environment import Environment
from secondread.config.mapping import from_mapping
from secondread.config.settings import parse_settings
from secondread.config.train import TrainConfig
from secondread.errors import InputError

_EXAMPLE = (
    "secondread train compare --data var/dataset --strategies single,ddp,retrain --seeds 0,1,2 --output var/comparison"
)


def add_to(app: typer.Typer) -> None:
    """Add the command to `secondread train`."""
    app.command("compare", epilog=example(_EXAMPLE))(compare)


def compare(
    data: Annotated[Path, typer.Option(help="Dataset version to train on, and to judge on.")],
    output: Annotated[Path, typer.Option(help="Folder to write; it appears whole or not at all.")],
    strategies: Annotated[
        str, typer.Option(help="Of single, ddp, fsdp, ray, and retrain: on from single's weights.")
    ] = "single,ddp,retrain",
    seeds: Annotated[str, typer.Option(help="Of the trainings; intervals are over these.")] = "0,1,2",
    split: Annotated[
        str, typer.Option(help="What models are judged on: val, or test, which should be looked at once only.")
    ] = "val",
    retrain_data: Annotated[
        Path | None, typer.Option(help="Version that retrain trains on, such as a child of --data; --data by default.")
    ] = None,
    name: Annotated[str, typer.Option(help="Of the models, and of the experiment in MLflow.")] = "secondread",
    settings: Annotated[list[str], typer.Option("--set", help="Any setting of train, such as train.epochs=12.")] = [],  # noqa: B006
    json: Json = False,
) -> None:
    """Compare strategies: accuracy, loss, time, memory and images/s, as a page and as runs in MLflow."""
    from secondread.data.versions.dataset import DatasetVersion
    from secondread.pipeline.tags import run_tags
    from secondread.training.comparison.compare import PAGE_FILE, Comparison
    from secondread.training.comparison.compare import compare as run

    config = from_mapping(TrainConfig, {"name": name, **parse_settings(settings, ("train",))["train"]})
    chosen = Comparison(tuple(strategies.split(",")), _numbers(seeds), split)
    version, environment = DatasetVersion.open(data), Environment.read()
    record = run(
        version,
        output,
        config,
        chosen,
        retrain_on=DatasetVersion.open(retrain_data) if retrain_data else None,
        tracking_uri=environment.mlflow_tracking_uri,
        tags=run_tags(version, environment),
    )
    if json:
        print_json({**record, "output": str(output)})
    else:
        _show(record)
        print_facts({"judged on": split, "page": output / PAGE_FILE})


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--seeds {text}: expected whole numbers such as 0,1,2.") from None


def _show(record: dict[str, Any]) -> None:
    from secondread.training.comparison.page import with_interval

    columns = {"accuracy": 3, "loss": 3, "seconds": 1, "wall_seconds": 1, "peak_memory_mib": 0, "images_per_second": 0}
    table = Table(
        "", "accuracy", "loss", "training s", "command s", "peak MiB", "images/s", "points - single", box=None
    )
    for strategy, known in record["strategies"].items():
        cells = [with_interval(known.get(column), digits) for column, digits in columns.items()]
        table.add_row(strategy, *cells, with_interval(known["accuracy_minus_single"], 1, times=100))
    print_table(table)
    if record["synthetic"]:
        print_line("Synthetic images: these figures say nothing about patients.")
