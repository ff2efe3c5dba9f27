"""`secondread pipeline`: compile, run here, or submit to a Kubeflow."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from secondread.cli import pipeline_results as results
from secondread.cli.output import Json, example, print_facts, print_json, print_line
from secondread.cli.pipeline_options import Options
from secondread.config.environment import Environment
from secondread.errors import InputError

app = typer.Typer(help="Compile a pipeline, run it here, or submit it to a Kubeflow.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Pipeline: train, retrain, data, deploy or batch-score.")]
Data = Annotated[
    str | None,
    typer.Option(
        help="Train, data: URI of labelled images: a folder, an archive, a .npz, s3://, swift://, or phantom://demo, "
        "the default. Retrain: folder or URI of the dataset version to learn from, a child of the champion's. "
        "Batch-score: images to read: a folder, a CSV file with a column 'path', or either in a store."
    ),
]
RemoteData = Annotated[
    str | None,
    typer.Option(
        help="Train, data: URI of labelled images that pods can reach: s3://, swift:// or phantom://demo, the default. "
        "Retrain: URI of the published dataset version to learn from, a child of the champion's. Batch-score: images "
        "to read: a prefix of a store, or a CSV file in it with a column 'path'."
    ),
]
Model = Annotated[str | None, typer.Option("--name", help="All but data: of the model, in registry and Triton.")]
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
    str | None,
    typer.Option(
        help="Data: store of versions. Batch-score: store of readings. A folder, s3://bucket/prefix or "
        "swift://container/prefix."
    ),
]
Which = Annotated[
    str | None,
    typer.Option(
        help="Batch-score, deploy: version number or alias in the registry; by default the champion, and of deploy the "
        "challenger."
    ),
]
Repository = Annotated[
    str | None,
    typer.Option(help="Batch-score: signed Triton repository (folder, s3:// or swift://) instead."),
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
Deploy = Annotated[
    bool, typer.Option("--deploy", help="Train: end in the pipeline deploy, of the version that was registered.")
]
Policy = Annotated[
    Path | None,
    typer.Option(help="Deploy, train: a rollout.yaml, which --set policy.FIELD=VALUE stands above."),
]
Control = Annotated[
    Path | None,
    typer.Option(
        help="Deploy, train: how it is carried on, a control.yaml, which --set control.FIELD=VALUE stands above."
    ),
]
Reason = Annotated[str | None, typer.Option(help="Deploy, train: why the version is let in, in a sentence.")]


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
        "secondread pipeline run deploy --policy docs/rollout.yaml --reason 'fewer missed effusions'",
        "secondread pipeline run batch-score --data films/ --set score.engine=ray --json",
    )
)
def run(
    name: Name = "train",
    data: Data = None,
    model_name: Model = None,
    models_to: ModelsTo = None,
    publish_to: PublishTo = None,
    parent: Parent = None,
    which: Which = None,
    repository: Repository = None,
    deploy: Deploy = False,
    policy: Policy = None,
    control: Control = None,
    reason: Reason = None,
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
        which=which,
        repository=repository,
        deploy=deploy,
        policy=policy,
        control=control,
        reason=reason,
        split_seed=split_seed,
        root=str(home / "models"),
        versions=str(home / "versions"),
        readings=str(home / "readings"),
        remote=False,
    ).arguments(name)
    show = {
        "train": results.show_training,
        "retrain": results.show_retraining,
        "data": results.show_data,
        "deploy": results.show_deployment,
        "batch-score": results.show_scoring,
    }[name]
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
        "secondread pipeline submit deploy --host https://kubeflow.example/pipeline --which 7 --policy "
        "manifests/rollout/rollout.yaml --control control.yaml --wait",
        "secondread pipeline submit batch-score --host https://kubeflow.example/pipeline --data s3://films/new "
        "--publish-to s3://films/readings --wait",
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
    which: Which = None,
    repository: Repository = None,
    deploy: Deploy = False,
    policy: Policy = None,
    control: Control = None,
    reason: Reason = None,
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
        which=which,
        repository=repository,
        deploy=deploy,
        policy=policy,
        control=control,
        reason=reason,
        split_seed=split_seed,
        root="",
        versions="",
        readings="",
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


def _token(path: Path | None) -> str:
    """The bearer token: of the file, else of the environment."""
    if path is None:
        return os.environ.get("KFP_TOKEN", "")
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InputError(f"cannot read --token-file {path}: {reason}. Name a file that holds the token.") from error
