"""`secondread pipeline`: compile, run here, or submit to a Kubeflow."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from secondread.cli.output import Json, example, print_facts, print_json, print_line
from secondread.cli.settings import DATA_STAGES, parse_settings
from secondread.config.environment import Environment
from secondread.config.require import require
from secondread.errors import GateRefused, InputError

app = typer.Typer(help="Compile a pipeline, run it here, or submit it to a Kubeflow.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Pipeline: train or data.")]
Data = Annotated[
    str, typer.Option(help="URI of labelled images: a folder, an archive, a .npz, s3://, swift://, or phantom://demo.")
]
RemoteData = Annotated[
    str, typer.Option(help="URI of labelled images that pods can reach: s3://, swift:// or phantom://.")
]
Model = Annotated[str | None, typer.Option("--name", help="Train: of the model, in the registry and in Triton.")]
Set = Annotated[list[str], typer.Option("--set", help="Any setting: STAGE.FIELD=VALUE, such as train.epochs=12.")]
SplitSeed = Annotated[int | None, typer.Option(help="Picks one of the possible splits.")]
Cache = Annotated[bool, typer.Option(help="Take steps from the cache where nothing has changed.")]
Gate = Annotated[float | None, typer.Option(help="Train: accuracy that the model must be above, on val and on test.")]
PublishTo = Annotated[
    str | None, typer.Option(help="Data: store of versions: a folder, s3://bucket/prefix or swift://container/prefix.")
]
Parent = Annotated[
    str | None, typer.Option(help="Data: URI of the version that this one grows from: what it has keeps its split.")
]


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
        "secondread pipeline run data --data films/ --publish-to s3://films/versions --set audit.fail_on=serious",
    )
)
def run(
    name: Name = "train",
    data: Data = "phantom://demo",
    model_name: Model = None,
    publish_to: PublishTo = None,
    parent: Parent = None,
    settings: Set = [],  # noqa: B006 - typer reads the default and never changes it
    split_seed: SplitSeed = None,
    min_accuracy: Gate = None,
    cache: Cache = True,
    json: Json = False,
) -> None:
    """Run a pipeline on this machine: the very one that is compiled for Kubeflow."""
    environment = Environment.read()
    home = environment.home
    arguments = _arguments(
        *(name, data, settings, split_seed),
        model={"name": model_name, "min_accuracy": min_accuracy, "root": str(home / "models")},
        version={"publish_to": publish_to, "parent": parent, "default": str(home / "versions")},
        remote=False,
    )
    show = _run_training if name == "train" else _run_data
    show(arguments, environment, cache=cache, json=json)


@app.command(
    epilog=example(
        "secondread pipeline submit train --host https://kubeflow.example/pipeline --data phantom://demo --wait",
        "secondread pipeline submit data --host https://kubeflow.example/pipeline --data s3://films/raw "
        "--publish-to s3://films/versions",
    )
)
def submit(
    host: Annotated[str, typer.Option(help="URL of Kubeflow Pipelines.")],
    name: Name = "train",
    data: RemoteData = "phantom://demo",
    model_name: Model = None,
    publish_to: PublishTo = None,
    parent: Parent = None,
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

    arguments = _arguments(
        *(name, data, settings, split_seed),
        model={"name": model_name, "min_accuracy": min_accuracy, "root": ""},
        version={"publish_to": publish_to, "parent": parent, "default": ""},
        remote=True,
    )
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


def _arguments(
    pipeline: str,
    data: str,
    pairs: list[str],
    split_seed: int | None,
    *,
    model: dict[str, Any],
    version: dict[str, Any],
    remote: bool,
) -> dict[str, Any]:
    """The parameters of either pipeline; an option that belongs to the other one is refused."""
    from secondread.pipeline import arguments
    from secondread.pipeline.compile import find_pipeline

    find_pipeline(pipeline)
    if pipeline == "data":
        foreign = model["name"] is None and model["min_accuracy"] is None
        require(foreign, "--name and --min-accuracy belong to the pipeline train. Leave them out.")
        settings = parse_settings(pairs, DATA_STAGES)
    else:
        foreign = version["publish_to"] is None and version["parent"] is None
        require(foreign, "--publish-to and --parent belong to the pipeline data. Leave them out.")
        settings = parse_settings(pairs)
    if split_seed is not None:
        settings["preprocess"]["split_seed"] = split_seed
    if pipeline == "data":
        publish_to = version["publish_to"] or version["default"]
        require(bool(publish_to), "say where the version goes: --publish-to s3://bucket/prefix or swift://...")
        chosen = arguments.DataPipelineSettings(data, publish_to, version["parent"] or "", **settings)
        return arguments.data_arguments(chosen, remote=remote)
    if model["min_accuracy"] is not None:
        settings["gate"]["accuracy_above"] = model["min_accuracy"]
    name = model["name"] or "secondread"
    training = arguments.TrainPipelineSettings(source=data, name=name, root=model["root"], **settings)
    return arguments.pipeline_arguments(training, remote=remote)


def _run_training(arguments: dict[str, Any], environment: Environment, *, cache: bool, json: bool) -> None:
    from secondread.pipeline.train_run import run_training

    result = run_training(arguments, home=environment.home, reuse=cache)
    name = arguments["model_name"]
    if json:
        print_json({"name": name, **asdict(result), "mlflow_tracking_uri": environment.mlflow_tracking_uri})
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
                "registered": f"{name} version {result.registered_version}" if result.registered_version else "no",
                "repository": result.model_repository or "none",
            }
        )
    if result.status == "refused":
        raise GateRefused(f"the gate said no, so nothing was registered: {result.reason}. See {result.report}.")


def _run_data(arguments: dict[str, Any], environment: Environment, *, cache: bool, json: bool) -> None:
    from secondread.pipeline.data_run import run_data

    result = run_data(arguments, home=environment.home, reuse=cache)
    if json:
        print_json({**asdict(result), "mlflow_tracking_uri": environment.mlflow_tracking_uri})
    else:
        left_out = ", ".join(f"{count} {reason}" for reason, count in result.rejected.items()) or "none"
        splits = {split: f"{sum(classes.values())} images" for split, classes in result.counts.items()}
        print_facts(
            {
                "dataset version": result.content_hash,
                "grown from": result.parent or "none",
                **splits,
                "left out": left_out,
                "audit": f"{result.severity}: {result.audit}",
                "published": result.published or "no",
                "catalogue": "has it" if result.catalogued else "no",
                "MLflow run": result.mlflow_run or "none",
            }
        )
    if result.status == "refused":
        raise GateRefused(f"the audit said no, so nothing was published: {result.reason}. See {result.audit}.")


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
