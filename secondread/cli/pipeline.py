"""`secondread pipeline`: compile, run here, or submit to a Kubeflow."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from secondread.cli.output import Json, example, print_facts, print_json, print_line
from secondread.cli.settings import parse_settings
from secondread.config.environment import Environment
from secondread.errors import GateRefused, InputError

app = typer.Typer(help="Compile a pipeline, run it here, or submit it to a Kubeflow.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Pipeline: train.")]
Data = Annotated[str, typer.Option(help="URI of labelled images: a folder, a MedMNIST .npz, or phantom://demo.")]
RemoteData = Annotated[str, typer.Option(help="URI of labelled images that pods can reach: phantom:// so far.")]
Model = Annotated[str, typer.Option("--name", help="Of the model, in the registry and in Triton.")]
Set = Annotated[list[str], typer.Option("--set", help="Any setting: STAGE.FIELD=VALUE, such as train.epochs=12.")]
SplitSeed = Annotated[int | None, typer.Option(help="Picks one of the possible splits.")]
Cache = Annotated[bool, typer.Option(help="Take steps from the cache where nothing has changed.")]
Gate = Annotated[float | None, typer.Option(help="Accuracy that the model must be above, on val and on test.")]


@app.command("compile", epilog=example("secondread pipeline compile train --output pipelines/compiled"))
def compile_(
    name: Name = "train",
    output: Annotated[Path, typer.Option(help="Folder for the YAML.")] = Path("pipelines/compiled"),
) -> None:
    """Write a pipeline as the YAML that Kubeflow reads."""
    from secondread.pipeline.compile import write_compiled

    print_line(str(write_compiled(name, output)))


@app.command(
    epilog=example(
        "secondread pipeline run train --data films/",
        "secondread pipeline run train --data phantom://demo --set train.epochs=12 --json",
    )
)
def run(
    name: Name = "train",
    data: Data = "phantom://demo",
    model_name: Model = "secondread",
    settings: Set = [],  # noqa: B006 - typer reads the default and never changes it
    split_seed: SplitSeed = None,
    min_accuracy: Gate = None,
    cache: Cache = True,
    json: Json = False,
) -> None:
    """Run a pipeline on this machine: the very one that is compiled for Kubeflow."""
    from secondread.pipeline.arguments import pipeline_arguments
    from secondread.pipeline.compile import find_pipeline
    from secondread.pipeline.run import run_pipeline

    environment = Environment.read()
    pipeline = find_pipeline(name)
    root = str(environment.home / "models")
    arguments = pipeline_arguments(_settings(data, model_name, root, settings, split_seed, min_accuracy))
    result = run_pipeline(pipeline, arguments, home=environment.home, reuse=cache)
    if json:
        print_json({"name": model_name, **asdict(result), "mlflow_tracking_uri": environment.mlflow_tracking_uri})
    else:
        figures = ", ".join(f"{key} {figure['value']:.3f}" for key, figure in _headline(result.metrics).items())
        print_facts(
            {
                "dataset version": result.dataset_version,
                "figures": figures,
                "gate": result.reason,
                "model": result.model,
                "report": result.report,
                "MLflow run": f"{result.mlflow_run} in {environment.mlflow_tracking_uri}",
                "registered": f"{model_name} version {result.registered_version}"
                if result.registered_version
                else "no",
                "repository": result.model_repository or "none",
            }
        )
    if result.status == "refused":
        raise GateRefused(f"the gate said no, so nothing was registered: {result.reason}. See {result.report}.")


@app.command(
    epilog=example(
        "secondread pipeline submit train --host https://kubeflow.example/pipeline --data phantom://demo --wait"
    )
)
def submit(
    host: Annotated[str, typer.Option(help="URL of Kubeflow Pipelines.")],
    name: Name = "train",
    data: RemoteData = "phantom://demo",
    model_name: Model = "secondread",
    settings: Set = [],  # noqa: B006
    split_seed: SplitSeed = None,
    min_accuracy: Gate = None,
    cache: Cache = True,
    namespace: Annotated[str, typer.Option(help="Of a multi-user Kubeflow.")] = "",
    experiment: Annotated[str, typer.Option(help="That the run belongs to.")] = "secondread",
    token_file: Annotated[
        Path | None, typer.Option(help="File with a bearer token, where the host asks for one.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the run, and exit with its own verdict.")] = False,
    json: Json = False,
) -> None:
    """Upload a pipeline as a new version and start a run of it on a Kubeflow."""
    from secondread.pipeline import submit as submission
    from secondread.pipeline.arguments import pipeline_arguments

    arguments = pipeline_arguments(_settings(data, model_name, "", settings, split_seed, min_accuracy), remote=True)
    token = _token(token_file)
    submitted = submission.submit(
        name, arguments, host=host, experiment=experiment, namespace=namespace, token=token, reuse=cache
    )
    document = asdict(submitted)
    if not json:
        print_facts({"pipeline version": submitted.version, "run": submitted.run_id, "page": submitted.url})
    if wait:
        document["status"] = submission.wait(submitted, token=token, namespace=namespace)
    if json:
        print_json(document)


def _settings(
    data: str, name: str, root: str, pairs: list[str], split_seed: int | None, min_accuracy: float | None
) -> Any:
    from secondread.pipeline.arguments import TrainPipelineSettings

    settings = parse_settings(pairs)
    if split_seed is not None:
        settings["preprocess"]["split_seed"] = split_seed
    if min_accuracy is not None:
        settings["gate"]["accuracy_above"] = min_accuracy
    return TrainPipelineSettings(source=data, name=name, root=root, **settings)


def _token(path: Path | None) -> str:
    """The bearer token: of the file, else of the environment."""
    if path is None:
        return os.environ.get("KFP_TOKEN", "")
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InputError(f"cannot read --token-file {path}: {reason}. Name a file that holds the token.") from error


def _headline(metrics: Any) -> dict[str, Any]:
    """The figures that are shown first, where they are known."""
    return {name: metrics[name] for name in ("accuracy", "auroc_macro") if metrics[name]["value"] is not None}
