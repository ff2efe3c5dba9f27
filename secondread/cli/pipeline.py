"""`secondread pipeline`: compile, run here, or submit to a Kubeflow."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from secondread.cli.output import Json, example, print_facts, print_json, print_line
from secondread.cli.pipeline_options import Options
from secondread.config.environment import Environment
from secondread.errors import GateRefused, InputError

app = typer.Typer(help="Compile a pipeline, run it here, or submit it to a Kubeflow.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Pipeline: train, retrain or data.")]
Data = Annotated[
    str | None,
    typer.Option(
        help="Train, data: URI of labelled images: a folder, an archive, a .npz, s3://, swift://, or phantom://demo, "
        "the default. Retrain: folder or URI of the dataset version to learn from, a child of the champion's."
    ),
]
RemoteData = Annotated[
    str | None,
    typer.Option(
        help="Train, data: URI of labelled images that pods can reach: s3://, swift:// or phantom://demo, the default. "
        "Retrain: URI of the published dataset version to learn from, a child of the champion's."
    ),
]
Model = Annotated[
    str | None, typer.Option("--name", help="Train, retrain: of the model, in the registry and in Triton.")
]
Set = Annotated[list[str], typer.Option("--set", help="Any setting: STAGE.FIELD=VALUE, such as train.epochs=12.")]
SplitSeed = Annotated[int | None, typer.Option(help="Train, data: picks one of the possible splits.")]
Cache = Annotated[bool, typer.Option(help="Take steps from the cache where nothing has changed.")]
MinAccuracy = Annotated[
    float | None, typer.Option(help="Train, retrain: accuracy that the model must be above, on val and on test.")
]
Gate = Annotated[
    Path | None,
    typer.Option(help="Train, retrain: policy as YAML, which --set gate.FIELD=VALUE and --min-accuracy stand above."),
]
PublishTo = Annotated[
    str | None, typer.Option(help="Data: store of versions: a folder, s3://bucket/prefix or swift://container/prefix.")
]
ModelsTo = Annotated[
    str | None,
    typer.Option(
        help="Train, retrain: folder, s3://bucket/prefix or swift://container/prefix for <name>/<digest>/ of a "
        "registered model; by default SECONDREAD_HOME/models. On a Kubeflow it must be a store."
    ),
]
Parent = Annotated[
    str | None,
    typer.Option(
        help="Data: URI of the version that this one grows from: what it has keeps its split. Retrain: of the version "
        "that --data grew from and the champion learned from; known where both are published in one place."
    ),
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
        "secondread pipeline run train --data films/ --gate gate.yaml",
        "secondread pipeline run retrain --data var/retrain --parent var/dataset --set train.learning_rate=3e-4",
        "secondread pipeline run data --data films/ --publish-to s3://films/versions --set audit.fail_on=serious",
    )
)
def run(
    name: Name = "train",
    data: Data = None,
    model_name: Model = None,
    models_to: ModelsTo = None,
    publish_to: PublishTo = None,
    parent: Parent = None,
    settings: Set = [],  # noqa: B006 - typer reads the default and never changes it
    split_seed: SplitSeed = None,
    gate: Gate = None,
    min_accuracy: MinAccuracy = None,
    cache: Cache = True,
    json: Json = False,
) -> None:
    """Run a pipeline on this machine: the very one that is compiled for Kubeflow."""
    environment = Environment.read()
    home = environment.home
    arguments = Options(
        data=data,
        settings=settings,
        name=model_name,
        models_to=models_to,
        gate=gate,
        min_accuracy=min_accuracy,
        publish_to=publish_to,
        parent=parent,
        split_seed=split_seed,
        root=str(home / "models"),
        versions=str(home / "versions"),
        remote=False,
    ).arguments(name)
    show = {"train": _run_training, "retrain": _run_retraining, "data": _run_data}[name]
    show(arguments, environment, cache=cache, json=json)


@app.command(
    epilog=example(
        "secondread pipeline submit train --host https://kubeflow.example/pipeline --data phantom://demo "
        "--models-to s3://secondread-models --wait",
        "secondread pipeline submit train --host https://kubeflow.example/pipeline --data s3://films/raw "
        "--models-to s3://secondread-models --set train.strategy=ddp --set train.processes=4 --accelerator "
        "nvidia.com/gpu --node-selector pool=gpu",
        "secondread pipeline submit retrain --host https://kubeflow.example/pipeline --data s3://films/versions/9f2c41d"
        " --models-to s3://secondread-models --set train.strategy=trainjob --set train.nodes=2 --claim training",
        "secondread pipeline submit data --host https://kubeflow.example/pipeline --data s3://films/raw "
        "--publish-to s3://films/versions",
    )
)
def submit(
    host: Annotated[str, typer.Option(help="URL of Kubeflow Pipelines.")],
    name: Name = "train",
    data: RemoteData = None,
    model_name: Model = None,
    models_to: ModelsTo = None,
    publish_to: PublishTo = None,
    parent: Parent = None,
    settings: Set = [],  # noqa: B006
    split_seed: SplitSeed = None,
    gate: Gate = None,
    min_accuracy: MinAccuracy = None,
    accelerator: Annotated[
        str,
        typer.Option(
            help="Train, retrain: resource name of what pods train on, such as nvidia.com/gpu or amd.com/gpu; as many "
            "as train.processes says, one for train.strategy=single. By default the CPU."
        ),
    ] = "",
    node_selector: Annotated[
        list[str], typer.Option(help="Train, retrain: KEY=VALUE, a label of the nodes to train on; may be repeated.")
    ] = [],  # noqa: B006
    claim: Annotated[
        str,
        typer.Option(
            help="Train, retrain: PersistentVolumeClaim that the train step mounts for checkpoints, and the nodes of "
            "train.strategy=trainjob for data; these and ray's must see it at the same place."
        ),
    ] = "",
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

    options = Options(
        data=data,
        settings=settings,
        name=model_name,
        models_to=models_to,
        gate=gate,
        min_accuracy=min_accuracy,
        publish_to=publish_to,
        parent=parent,
        split_seed=split_seed,
        root="",
        versions="",
        remote=True,
        accelerator=accelerator,
        node_selector=tuple(node_selector),
        claim=claim,
    )
    arguments = options.arguments(name)
    token = _token(token_file)
    submitted = submission.submit(
        name,
        arguments,
        host=host,
        experiment=experiment,
        namespace=namespace,
        token=token,
        reuse=cache,
        volume=options.volume(),
    )
    document = asdict(submitted)
    if not json:
        print_facts({"pipeline version": submitted.version, "run": submitted.run_id, "page": submitted.url})
    if wait:
        document["status"] = submission.wait(submitted, token=token, namespace=namespace)
    if json:
        print_json(document)


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


def _run_retraining(arguments: dict[str, Any], environment: Environment, *, cache: bool, json: bool) -> None:
    from secondread.pipeline.retrain_run import run_retraining

    result = run_retraining(arguments, home=environment.home, reuse=cache)
    name = arguments["model_name"]
    if json:
        print_json({"name": name, **asdict(result), "mlflow_tracking_uri": environment.mlflow_tracking_uri})
    else:
        registered = f"{name} version {result.registered_version}, as {result.alias}"
        print_facts(
            {
                "champion": f"{name} version {result.champion_version}",
                "dataset version": f"{result.dataset_version[:12]}, grown from {result.parent[:12]}",
                **{key: _difference(figure) for key, figure in result.differences.items()},
                **({"McNemar's exact p": f"{result.mcnemar['p_value']:.4f}"} if result.mcnemar else {}),
                "gate": result.reason,
                "model": result.model,
                "report": result.report,
                "comparison": result.comparison or "none",
                "MLflow run": f"{result.mlflow_run} in {environment.mlflow_tracking_uri}",
                "registered": registered if result.registered_version else "no",
            }
        )
    if result.status == "refused":
        page = result.comparison or result.report
        raise GateRefused(f"the gate said no, so the champion stays alone: {result.reason}. See {page}.")


def _difference(figure: Any) -> str:
    """Both models' figure, and by how many points they differ."""
    if figure["low"] is None:
        return "not known"
    points = (f"{100 * figure[key]:+.2f}" for key in ("value", "low", "high"))
    return "champion {:.3f}, challenger {:.3f}: {} points ({} to {})".format(
        figure["champion"], figure["challenger"], *points
    )


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
