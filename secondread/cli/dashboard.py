"""`secondread data dashboard`: pages that show what is in dataset versions."""

from __future__ import annotations

from typing import Annotated

import typer

from secondread.cli.output import example
from secondread.config.dashboard import DashboardConfig


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=example("secondread data dashboard var", "secondread data dashboard s3://films/versions --port 9003")
    )(dashboard)


def dashboard(
    root: Annotated[str, typer.Argument(help="Folder of versions, s3://bucket/prefix or swift://container/prefix.")],
    host: Annotated[
        str, typer.Option(help="Address to listen on; whoever reaches it sees the images, without a password.")
    ] = DashboardConfig.host,
    port: Annotated[int, typer.Option(help="Port to listen on.")] = DashboardConfig.port,
) -> None:
    """Show what is in dataset versions: counts, pictures, gaps, the audit's findings, drift. Ctrl-C ends it."""
    from secondread.dashboard.serve import serve

    serve(DashboardConfig(root=root, host=host, port=port))
