"""`secondread train cv`: how good a recipe is, as a mean over folds with its interval."""

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

_EXAMPLE = "secondread train cv --data var/dataset --folds 5 --group patient_id --output var/cross-validation"
_SHOWN = {
    "accuracy": "accuracy",
    "auroc_macro": "AUROC",
    "balanced_accuracy": "balanced",
    "average_precision_macro": "AP",
    "f1_macro": "F1",
    "loss": "loss",
    "brier": "Brier",
}
_POOLED = {**_SHOWN, "nll": "loss", "ece": "ECE"}


def add_to(app: typer.Typer) -> None:
    """Add the command to `secondread train`."""
    app.command("cv", epilog=example(_EXAMPLE))(cv)


def cv(
    data: Annotated[Path, typer.Option(help="Dataset version; all its images take part but those of final_eval.")],
    output: Annotated[
        Path | None,
        typer.Option(help="Folder to write; it appears whole or not at all. One under SECONDREAD_HOME by default."),
    ] = None,
    folds: Annotated[int, typer.Option(help="Parts that are held out in turn.")] = 5,
    group: Annotated[
        str,
        typer.Option(
            help="What is never on two sides: patient_id, group_id (patients where they are known, and like images) "
            "or image_id (each picture by itself, as many papers do)."
        ),
    ] = "group_id",
    seed: Annotated[int, typer.Option(help="Of the dealing into folds.")] = 0,
    at_once: Annotated[int, typer.Option(help="Folds that train at once; 0: as many as the machine allows.")] = 0,
    start: Annotated[
        Path | None,
        typer.Option(help="Model, or folder of `train pretrain`, that each fold begins with; of other images."),
    ] = None,
    quantize: Annotated[
        bool, typer.Option("--quantize", help="Quantize each model too, and say what the graph that is served loses.")
    ] = False,
    name: Annotated[str, typer.Option(help="Of the models, and of the experiment in MLflow.")] = "secondread",
    settings: Annotated[list[str], typer.Option("--set", help="Any setting of train, such as train.epochs=12.")] = [],  # noqa: B006
    json: Json = False,
) -> None:
    """Cross-validate the recipe: a model a fold, judged on what it has not seen. A killed run goes on where it was."""
    from secondread.data.versions.dataset import DatasetVersion
    from secondread.pipeline.tags import run_tags
    from secondread.tracking.runs import TrackingConfig
    from secondread.training.cross_validation.cross_validate import Plan, cross_validate

    config = from_mapping(TrainConfig, {"name": name, **parse_settings(settings, ("train",))["train"]})
    plan = Plan(folds=folds, group=group, seed=seed)
    version = DatasetVersion.open(data)
    environment = Environment.read()
    output = output or environment.home / "cross-validation" / f"{version.name}-{group}-{folds}-{seed}"
    called = {"mlflow.runName": f"cross-validate {version.name}"}
    tracking = TrackingConfig(environment.mlflow_tracking_uri, name, run_tags(version, environment) | called)
    record = cross_validate(
        version, output, config, plan, at_once=at_once, start=start, quantize=quantize, tracking=tracking
    )
    if json:
        print_json({**record, "output": str(output)})
    else:
        _show(record, output)


def _show(record: dict[str, Any], output: Path) -> None:
    names = [name for name in _SHOWN if name in record["metrics"]]
    table = Table("", *(_SHOWN[name] for name in names), "images", "seconds", box=None)
    for fold in record["folds"]:
        values = (f"{fold['metrics'][name]:.4f}" for name in names)
        table.add_row(f"fold {fold['fold']}", *values, str(fold["images"]["test"]), f"{fold['seconds']:.0f}")
    for row, key in (("mean", "value"), ("95 % from", "low"), ("to", "high")):
        values = (record["metrics"][name][key] for name in names)
        table.add_row(row, *("-" if value is None else f"{value:.4f}" for value in values), "", "")
    print_table(table)
    together = record["pooled"]
    facts = {
        f"{_POOLED[name]} of all together": f"{figure['value']:.4f}, {figure['low']:.4f} to {figure['high']:.4f}"
        for name, figure in together["metrics"].items()
        if figure["low"] is not None
    }
    print_facts({**facts, "images": together["images"], "groups": together["groups"], "written to": output})
    if "quantized" in record:
        print_facts(_of_quantized(record))
    matrix = Table("true class, called", *record["classes"], box=None)
    for name, counts in zip(record["classes"], together["confusion"], strict=True):
        matrix.add_row(name, *map(str, counts))
    print_table(matrix)
    if record["groups_in_several_folds"]:
        print_line(
            f"Dealt by image: {record['groups_in_several_folds']} groups (patients) have images in several folds, so "
            "models are judged on patients that they have seen. Figures by patient are lower, and honest."
        )
    if record["synthetic"]:
        print_line("Synthetic images: these figures say nothing about patients.")


def _of_quantized(record: dict[str, Any]) -> dict[str, str]:
    """What quantization costs on all held-out images."""
    told = record["quantized"]["differences"]
    lost = told["accuracy"]
    points = f"{100 * lost['value']:+.2f} points"
    if lost["low"] is not None:
        points += f", {100 * lost['low']:+.2f} to {100 * lost['high']:+.2f}"
    return {
        "graphs served": ", ".join(fold["graph"] for fold in record["folds"]),
        "accuracy of quantized less trained": points,
        "ECE of quantized less trained": f"{told['ece']['value']:+.4f}",
        "images called the same": f"{100 * record['quantized']['agreement']:.1f} %",
    }
