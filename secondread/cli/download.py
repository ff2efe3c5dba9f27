"""`secondread data download`: a public dataset, or what to do to have it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from secondread.cli.output import Json, example, print_facts, print_json, print_line
from secondread.config import Environment
from secondread.errors import DependencyError


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=example("secondread data download pneumoniamnist_64", "secondread data download nih-cxr14"),
    )(download)


def download(
    name: Annotated[str, typer.Argument(help="A set of MedMNIST, also with _64, _128 or _224; or a public dataset.")],
    to: Annotated[Path | None, typer.Option(help="Folder for the file; by default downloads/ of our home.")] = None,
    json: Json = False,
) -> None:
    """Fetch a public dataset, checked; or say how to get it, with exit code 3, where its host wants an account."""
    from secondread.data.sources.download import download as fetch
    from secondread.data.sources.download import instructions, remotes

    remote = remotes().get(name)
    if remote is None:
        lines = instructions(name)
        if json:
            print_json({"name": name, "fetched": False, "instructions": list(lines)})
        else:
            for line in lines:
                print_line(line)
        raise typer.Exit(DependencyError.exit_code)
    path = fetch(remote, to or Environment.read().home / "downloads")
    if json:
        print_json({"name": name, "fetched": True, "path": str(path), "license": remote.license, "md5": remote.md5})
        return
    print_facts({"written to": path, "license": remote.license, "next": f"secondread data ingest {path} --output ..."})
