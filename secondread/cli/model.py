"""`secondread evaluate | quantize`: the pipeline's steps one by one, on folders. Each is a run in MLflow, as there."""

from __future__ import annotations

import importlib.util
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from secondread.cli.output import Json, example, print_facts, print_json, print_line
from secondread.config.environment import Environment
from secondread.config.evaluate import EvaluateConfig
from secondread.config.gate import GateConfig
from secondread.config.mapping import from_mapping
from secondread.config.quantize import QuantizeConfig
from secondread.config.settings import parse_settings
from secondread.errors import GateRefused
from secondread.logging import get_logger

if TYPE_CHECKING:
    # what a command does not need it does not load
    from secondread.tracking.asked import Asked
    from secondread.tracking.origin import Origin

log = get_logger(__name__)

Set = Annotated[list[str], typer.Option("--set", help="Any setting of the stage, such as train.epochs=12.")]
Dataset = Annotated[Path, typer.Option("--data", help="Dataset version: a folder that `data preprocess` wrote.")]
Output = Annotated[Path, typer.Option(help="Folder to write; it appears whole or not at all.")]
Folder = Annotated[Path, typer.Option("--model", help="Model folder.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands to the main one."""
    app.command(
        epilog=example(
            "secondread evaluate --model var/model --data var/dataset --json",
            "secondread evaluate --model var/model --data films/ --output var/evaluation",
            "secondread evaluate --model var/model --data var/dataset --gate gate.yaml --champion var/champion",
            "secondread evaluate --model var/model --data other/ --classes classes.yaml --against var/evaluation",
        )
    )(evaluate)
    app.command(epilog=example("secondread quantize --model var/model --data var/dataset --output var/quantized"))(
        quantize
    )


def evaluate(
    model: Folder,
    data: Annotated[str, typer.Option(help="Dataset version, or URI of any labelled images.")],
    split: Annotated[str, typer.Option(help="Of a dataset version: train, val, test or final_eval.")] = "test",
    output: Annotated[Path | None, typer.Option(help="Folder for report, figures and predictions.")] = None,
    gate: Annotated[
        Path | None,
        typer.Option(help="Policy as YAML. Where it, or --set gate.FIELD=VALUE, is given and says no: exit code 4."),
    ] = None,
    classes: Annotated[
        Path | None, typer.Option(help="YAML that says which class of the data is which of the model's.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="Evaluation of this model on its own test, to tell the drop.")
    ] = None,
    champion: Annotated[
        Path | None, typer.Option(help="Model folder to be compared with on the same images, such as what serves now.")
    ] = None,
    known_failures: Annotated[
        Path | None, typer.Option(help="Folder of films that a model once read wrongly; each is tried again.")
    ] = None,
    other_field: Annotated[
        list[str],
        typer.Option(help="Images of another field, which the model should turn away: a folder or URI. Repeatable."),
    ] = [],  # noqa: B006
    settings: Set = [],  # noqa: B006
    json: Json = False,
) -> None:
    """Judge a model by the graph that will be served.

    It is a run in MLflow, below that of the training: at MLFLOW_TRACKING_URI, else in a file under SECONDREAD_HOME.
    """
    from secondread.data.sources.open import open_source
    from secondread.data.versions.dataset import DATASET_FILE, DatasetVersion
    from secondread.evaluation.evaluate import evaluate as run
    from secondread.evaluation.external.classes import read_external_classes
    from secondread.evaluation.external.images import read_source
    from secondread.evaluation.gate.decide import read_policy
    from secondread.evaluation.labelled_images import LabelledImages
    from secondread.model.folder import ModelFolder
    from secondread.pipeline.tags import code_tags
    from secondread.tracking.asked import Asked, flat
    from secondread.tracking.origin import Origin

    chosen = parse_settings(settings, ("evaluate", "gate"))
    named = {"known_failures": str(known_failures) if known_failures else "", "other_fields": other_field}
    config = from_mapping(
        EvaluateConfig, {**chosen["evaluate"], **{key: value for key, value in named.items() if value}}
    )
    policy = read_policy(gate, chosen["gate"]) if gate else from_mapping(GateConfig, chosen["gate"])
    names = read_external_classes(classes) if classes else None
    opened = ModelFolder.open(model)
    if Path(data, DATASET_FILE).is_file():
        images = LabelledImages.from_version(DatasetVersion.open(data), split)
    else:
        images = read_source(open_source(data), opened.config.preprocessing)
    environment, origin = Environment.read(), Origin.read(model)
    settings_of_all = flat({"evaluate": asdict(config), "gate": asdict(policy)})
    asked = Asked(images.version, settings_of_all, code_tags(environment))
    with tempfile.TemporaryDirectory(prefix="secondread-evaluate-") as temporary:
        folder = output or Path(temporary) / "evaluation"  # MLflow has the report where nobody else wants it
        result = run(
            opened,
            images,
            output=folder,
            policy=policy,
            config=config,
            classes=names,
            against=against,
            champion=ModelFolder.open(champion) if champion else None,
        )
        mlflow_run = _log_evaluation(folder, asked, origin, beside=output or environment.home / "evaluation")
    document = result.to_json()
    if json:
        print_json({**document, "mlflow_run": mlflow_run})
    else:
        figures = {key: _interval(figure) for key, figure in document["metrics"].items()}
        facts = {"images": result.n, **figures, **_of_external(document)}
        written = {"report": output or "with the run (--output: in a folder)", "MLflow run": mlflow_run or "none"}
        print_facts({**facts, "gate": str(result.gate), **written})
    if (gate or chosen["gate"]) and not result.gate.passed:
        raise GateRefused(f"{result.gate}.")


def quantize(model: Folder, data: Dataset, output: Output, settings: Set = [], json: Json = False) -> None:  # noqa: B006
    """Make INT8 graphs, compare them with fp32 on val, and choose the one to serve.

    It is a run in MLflow, below that of the training: at MLFLOW_TRACKING_URI, else in a file under SECONDREAD_HOME.
    """
    from secondread.data.versions.dataset import DatasetVersion
    from secondread.export.quantization.quantize import quantize as run
    from secondread.model.folder import ModelFolder
    from secondread.pipeline.tags import code_tags
    from secondread.tracking.asked import Asked, flat
    from secondread.tracking.origin import Origin

    config = from_mapping(QuantizeConfig, parse_settings(settings, ("quantize",))["quantize"])
    version = DatasetVersion.open(data)
    asked = Asked(version.content_hash, flat({"quantize": asdict(config)}), code_tags(Environment.read()))
    origin = Origin.read(model)
    result = run(ModelFolder.open(model), version, output, config)
    mlflow_run = _log_quantization(output, asked, origin)
    if json:
        print_json({**result.to_json(), "mlflow_run": mlflow_run})
    else:
        print_line(result.table_markdown())
        print_facts({"MLflow run": mlflow_run or "none"})


def _log_evaluation(folder: Path, asked: Asked, origin: Origin, *, beside: Path) -> str:
    """Id of the run; empty where MLflow does not have it."""
    if not _has_mlflow():
        return ""
    from secondread.tracking.evaluated import log_evaluation

    return log_evaluation(Environment.read().mlflow_tracking_uri, folder, asked, origin=origin, beside=beside)


def _log_quantization(folder: Path, asked: Asked, origin: Origin) -> str:
    """Likewise."""
    if not _has_mlflow():
        return ""
    from secondread.tracking.quantized import log_quantization

    return log_quantization(Environment.read().mlflow_tracking_uri, folder, asked, origin=origin, beside=folder)


def _has_mlflow() -> bool:
    """Whether what was found can be written down; where not, a line says why."""
    if importlib.util.find_spec("mlflow"):
        return True
    log.warning("no run is written down: MLflow is not installed. `secondread doctor` says how to get it.")
    return False


def _of_external(document: dict[str, Any]) -> dict[str, str]:
    """What is told of a set from outside beyond its figures."""
    drop, apart = document["drop"], document["apart"]
    figures = drop["figures"] if drop else {}
    facts = {f"{name}, less its test": _interval(each["drop"]) for name, each in figures.items()}
    told = [f"{each['n']} of {each['name']} ({_interval(each['flagged'])} turned away)" for each in apart]
    return facts | ({"in no figure": "; ".join(told)} if told else {})


def _interval(figure: dict[str, float | None]) -> str:
    value, low, high = figure["value"], figure.get("low"), figure.get("high")
    if value is None:
        return "not known"
    return f"{value:.4f}" if low is None or high is None else f"{value:.4f} ({low:.4f} to {high:.4f})"
