"""`secondread rollout edge`: the champion behind Envoy on this machine, where a candidate can be tried beside it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from secondread.atomic import write_json
from secondread.cli.output import example, print_facts, print_line
from secondread.config.environment import Environment
from secondread.config.mapping import from_mapping
from secondread.config.prometheus import PrometheusConfig
from secondread.config.serve import ServeConfig
from secondread.config.settings import parse_settings


def add_to(app: typer.Typer) -> None:
    """Add this command to those of `rollout`."""
    app.command(epilog=example("secondread rollout edge", "secondread rollout edge --host 0.0.0.0 --no-prometheus"))(
        edge
    )


def edge(
    name: Annotated[str, typer.Option(help="Of the model.")] = ServeConfig.name,
    which: Annotated[str, typer.Option(help="Version number or alias in the registry, at the first start.")] = (
        "champion"
    ),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = ServeConfig.host,
    http_port: Annotated[int, typer.Option(help="REST port; 0: any free one.")] = ServeConfig.http_port,
    grpc_port: Annotated[int, typer.Option(help="gRPC port; 0: any free one.")] = ServeConfig.grpc_port,
    prometheus: Annotated[
        bool, typer.Option(help="Run a Prometheus; without one, your own may follow edge/prometheus-targets.json.")
    ] = True,
    prometheus_port: Annotated[
        int, typer.Option(help="Its port, on loopback; 0: any free one.")
    ] = PrometheusConfig.port,
    ready_file: Annotated[Path | None, typer.Option(help="Written, as JSON, once images are answered: where.")] = None,
    settings: Annotated[
        list[str],
        typer.Option("--set", help="Any other setting, such as serve.threads=2 or prometheus.scrape_seconds=15."),
    ] = [],  # noqa: B006
) -> None:
    """Start Envoy, the champion's server behind it, and Prometheus; Ctrl-C stops them all.

    Started again, it goes on as it was told last, whatever the registry says by then: which versions are served, and
    how they share the requests, is the rollout's to change. Nothing is served that a trusted key has not signed.
    """
    from secondread.rollout.splitters.edge import Edge
    from secondread.rollout.splitters.edge_files import Deployed, EdgeFiles, Status
    from secondread.tracking.registry import Registry

    given = parse_settings(settings, ("serve", "prometheus"))
    listening = {"name": name, "host": host, "http_port": http_port, "grpc_port": grpc_port}
    config = from_mapping(ServeConfig, {**listening, **given["serve"]}, stage="serve")
    read_by = from_mapping(PrometheusConfig, {"port": prometheus_port, **given["prometheus"]}, stage="prometheus")
    environment, stable = Environment.read(), None
    files = EdgeFiles(environment.home)
    if files.split.is_file():
        print_line(f"going on as {files.split} says: version {files.wanted().stable.version} is the stable one")
    else:
        stable = Deployed.of(Registry(environment.mlflow_tracking_uri).get(name, which))

    def ready(status: Status) -> None:
        own = {"Prometheus": status.prometheus_url} if status.prometheus_url else {}
        print_facts({"REST": status.url, "gRPC": status.grpc_url, **own, "Envoy's figures": status.metrics_url})
        if ready_file is not None:
            write_json(ready_file, asdict(status))

    Edge(environment.home, config, trusted=environment.signing.trusted, prometheus=read_by if prometheus else None).run(
        stable, on_ready=ready
    )
