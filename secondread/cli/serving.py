"""`secondread serve | predict | explain | batch | loadtest`: a model behind V2 (Open Inference Protocol), asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from secondread.atomic import write_json
from secondread.cli.engine import EngineName, RayAddress, chosen_engine
from secondread.cli.output import Json, example, print_json, print_line
from secondread.config.environment import Environment
from secondread.config.loadtest import LoadTestConfig
from secondread.config.mapping import from_mapping
from secondread.config.serve import ServeConfig
from secondread.config.settings import parse_settings
from secondread.errors import InputError

Url = Annotated[str, typer.Option(help="REST address of a running server.")]
Name = Annotated[str, typer.Option(help="Of the model.")]
TokenFile = Annotated[Path | None, typer.Option(help="File of the token that the server wants, if it wants one.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands to the main one."""
    app.command(
        epilog=example(
            "secondread serve --follow 30", "secondread serve --name oct --which challenger --http-port 9080"
        )
    )(serve)
    app.command(epilog=example("secondread predict film.jpg", "secondread predict film.dcm --model var/model --json"))(
        predict
    )
    app.command(epilog=example("secondread explain film.jpg", "secondread explain film.dcm --model var/model --json"))(
        explain
    )
    app.command(
        epilog=example(
            "secondread batch --input films/ --output readings.parquet",
            "secondread batch --input s3://bucket/films --output readings.parquet --engine ray",
        )
    )(batch)
    app.command(
        epilog=example(
            "secondread loadtest --images films/ --users 8 --seconds 60",
            "secondread loadtest --shape spike --users 32",
            "secondread loadtest --find-limit",
        )
    )(loadtest)


def serve(
    name: Name = ServeConfig.name,
    which: Annotated[str, typer.Option(help="Version number or alias in the registry.")] = "champion",
    repository: Annotated[
        str | None, typer.Option(help="Serve this signed Triton repository (folder, s3:// or swift://).")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = ServeConfig.host,
    http_port: Annotated[int, typer.Option(help="REST port; 0: any free one.")] = ServeConfig.http_port,
    grpc_port: Annotated[int, typer.Option(help="gRPC port; 0: any free one.")] = ServeConfig.grpc_port,
    ready_file: Annotated[Path | None, typer.Option(help="Written, as JSON, once images are answered: where.")] = None,
    follow: Annotated[
        float | None, typer.Option(help="Seconds between two looks at the registry: go along when the alias moves.")
    ] = None,
    settings: Annotated[
        list[str], typer.Option("--set", help="Any other setting, such as serve.max_in_flight=64.")
    ] = [],  # noqa: B006
) -> None:
    """Start the local Triton and the transformer in front of it; Ctrl-C stops both.

    Nothing is served that a trusted key has not signed, as it lies there (SECONDREAD_TRUSTED_KEYS).
    """
    from secondread.export.repository.opened import opened_repository
    from secondread.serving.front.server import Endpoints
    from secondread.serving.local.follow import Follow
    from secondread.serving.local.serve import serve as run

    given = {"name": name, "host": host, "http_port": http_port, "grpc_port": grpc_port}
    config = from_mapping(ServeConfig, {**given, **parse_settings(settings, ("serve",))["serve"]}, stage="serve")
    environment = Environment.read()

    def ready(endpoints: Endpoints) -> None:
        if ready_file is not None:
            write_json(ready_file, asdict(endpoints))

    if follow is not None and repository is not None:
        raise InputError(
            "--follow goes along with an alias of the registry, and --repository names none: leave one out."
        )
    wanted = _place(repository, name, which, environment)
    opened = partial(opened_repository, environment=environment)
    later = Follow(follow, wanted(), wanted, opened) if follow is not None else None
    with opened(later.first if later else wanted()) as folder:
        run(
            folder,
            config,
            home=environment.home,
            trusted=environment.signing.trusted,
            trace=environment.trace,
            on_ready=ready,
            follow=later,
        )


def _place(repository: str | None, name: str, which: str, environment: Environment) -> Callable[[], str]:
    """Where the model repository is that is meant, whenever it is asked."""
    if repository is not None:
        return lambda: repository
    from secondread.tracking.registry import Registry

    registry = Registry(environment.mlflow_tracking_uri)
    return lambda: registry.get(name, which).storage_uri


def batch(
    place: Annotated[
        str,
        typer.Option(
            "--input",
            help="Folder of images or CSV file with a column 'path', here or in a store; or any source's URI.",
        ),
    ],
    output: Annotated[Path, typer.Option(help="Table to write, Parquet: a row an image.")],
    model: Annotated[Path | None, typer.Option(help="Model folder; by default the registry is asked.")] = None,
    name: Name = ServeConfig.name,
    which: Annotated[str, typer.Option(help="Version number or alias in the registry.")] = "champion",
    repository: Annotated[
        str | None, typer.Option(help="Signed Triton repository (folder, s3:// or swift://) instead.")
    ] = None,
    engine: EngineName = "",
    ray_address: RayAddress = "",
    json: Json = False,
) -> None:
    """Read very many images without a server. Called again after a cut, it goes on where it was."""
    from secondread.export.repository.opened import opened_repository
    from secondread.export.repository.signing import verify_folder
    from secondread.serving.batch.read import Scorer, score

    environment, chosen = Environment.read(), chosen_engine(engine, ray_address)
    if model is not None:
        scored = score(place, Scorer.of_folder(model), output, engine=chosen)
    else:
        with opened_repository(_place(repository, name, which, environment)(), environment) as folder:
            verify_folder(folder, environment.signing.trusted)
            scored = score(place, Scorer.of_repository(folder, name), output, engine=chosen)
    if json:
        print_json(scored.to_json())
    else:
        print_line(scored.line())


def predict(
    images: Annotated[list[Path], typer.Argument(help="JPEG, PNG or DICOM files.")],
    model: Annotated[Path | None, typer.Option(help="Model folder: answer from its graph, without a server.")] = None,
    url: Url = LoadTestConfig.url,
    name: Name = ServeConfig.name,
    token_file: TokenFile = None,
    json: Json = False,
) -> None:
    """Read images with a running server, or with a model folder and no server at all."""
    from secondread.serving.protocol.reading import print_readings

    if model is not None:
        from secondread.serving.predict import predict_with_model

        readings = predict_with_model(model, images)
    else:
        from secondread.serving.predict import predict_with_server

        readings = predict_with_server(url, images, name=name, token=_token(token_file))
    if json:
        print_json([reading.to_json() for reading in readings])
    else:
        print_readings(readings)


def _token(file: Path | None) -> str:
    from secondread.serving.front.access import read_token

    return read_token(file) if file else ""


def explain(
    images: Annotated[list[Path], typer.Argument(help="JPEG, PNG or DICOM files.")],
    model: Annotated[Path | None, typer.Option(help="Model folder: explain with its graph, without a server.")] = None,
    url: Url = LoadTestConfig.url,
    name: Name = ServeConfig.name,
    output: Annotated[Path, typer.Option(help="Folder for a PNG of each image.")] = Path("var/explained"),
    token_file: TokenFile = None,
    json: Json = False,
) -> None:
    """Say where the model looked: a picture of each image with its map, and the strongest places."""
    from secondread.serving.explain import explain_with_model, explain_with_server, print_explained, write_picture

    if model is not None:
        explained = explain_with_model(model, images)
    else:
        explained = explain_with_server(url, images, name=name, token=_token(token_file))
    pictures = [output / f"{each.reading.image_id[:12]}.png" for each in explained]
    for each, picture in zip(explained, pictures, strict=True):
        write_picture(each, picture)
    if json:
        documents = zip(explained, pictures, strict=True)
        print_json([{**each.to_json(), "picture": str(picture)} for each, picture in documents])
    else:
        print_explained(explained, pictures)


def loadtest(
    images: Annotated[Path | None, typer.Option(help="Folder of images to send; phantoms by default.")] = None,
    url: Url = LoadTestConfig.url,
    grpc_url: Annotated[str, typer.Option(help="host:port of gRPC; empty: REST only.")] = LoadTestConfig.grpc_url,
    name: Name = LoadTestConfig.name,
    shape: Annotated[str | None, typer.Option(help="constant, ramp, spike or soak.")] = None,
    users: Annotated[int, typer.Option(help="Callers at the same time, at most.")] = LoadTestConfig.users,
    seconds: Annotated[
        float | None, typer.Option(help="Of measured load: constant 20, ramp and spike 60, soak 1800.")
    ] = None,
    think_seconds: Annotated[
        float | None, typer.Option(help="Of each caller before it asks again, on average: 0.05.")
    ] = None,
    as_readings: Annotated[
        bool, typer.Option("--as-readings", help="Have the images count for drift, as real ones do.")
    ] = False,
    p99_below_ms: Annotated[float, typer.Option(help="Exit 4 at or above this P99.")] = LoadTestConfig.p99_below_ms,
    failures_below: Annotated[
        float, typer.Option(help="Exit 4 at or above this share.")
    ] = LoadTestConfig.failures_below,
    requests_at_least: Annotated[
        int, typer.Option(help="Exit 4 below this number, which cannot tell.")
    ] = LoadTestConfig.requests_at_least,
    report: Annotated[Path, typer.Option(help="HTML report to write.")] = Path("var/loadtest/report.html"),
    token_file: TokenFile = None,
    limit: Annotated[
        bool, typer.Option("--find-limit", help="Find the highest rate that is borne, from --users callers on.")
    ] = False,
    json: Json = False,
) -> None:
    """Put load on a running server over REST and gRPC, and say whether it bears it."""
    from secondread.serving.load.limit import find_limit
    from secondread.serving.load.loadtest import loadtest as run
    from secondread.serving.load.result import refuse

    if images is not None and not images.is_dir():
        raise InputError(f"--images {images} is no folder. Name one that holds JPEG, PNG or DICOM files.")
    if limit and (shape is not None or think_seconds is not None):
        raise InputError("--find-limit chooses the load itself: leave --shape and --think-seconds out.")
    config = LoadTestConfig(
        url=url,
        grpc_url=grpc_url,
        name=name,
        shape=shape or LoadTestConfig.shape,
        users=users,
        seconds=seconds,
        think_seconds=LoadTestConfig.think_seconds if think_seconds is None else think_seconds,
        as_readings=as_readings,
        p99_below_ms=p99_below_ms,
        failures_below=failures_below,
        requests_at_least=requests_at_least,
    )
    ask = find_limit if limit else run
    result = ask(config, images=images, report=report, token=_token(token_file))
    gate = result.gate(config)
    if json:
        print_json({**result.to_json(), "gate": asdict(gate)})
    else:
        print_line(result.table())
    refuse(gate)
