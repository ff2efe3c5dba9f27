"""`secondread data download`: a public dataset, or what to do to have it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from secondread.cli.output import Json, example, print_facts, print_json, print_line
from secondread.config.environment import Environment


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
    """Fetch a public dataset, checked; or say how to get it, with exit code 3, where its host gives nothing."""
    from secondread.data.sources.clone import clone
    from secondread.data.sources.download import download as fetch
    from secondread.data.sources.download import remotes, repositories

    folder = to or Environment.read().home / "downloads"
    if name in repositories():
        publication = repositories()[name]
        _print_fetched(name, clone(publication.repository, folder), publication.license, scheme=f"{name}:", json=json)
        return
    remote = remotes().get(name)
    if remote is None:
        _from_kaggle(name, folder, json=json)
        return
    _print_fetched(name, fetch(remote, folder), remote.license, scheme="", json=json)


def _from_kaggle(name: str, folder: Path, *, json: bool) -> None:
    from secondread.data.sources.download import instructions, of_kaggle
    from secondread.data.sources.kaggle import NotGiven, fetch_from_kaggle

    publication = of_kaggle(name)
    try:
        path = fetch_from_kaggle(publication, folder)
    except NotGiven as why:
        lines = instructions(publication, str(why))
        if json:
            print_json({"name": name, "fetched": False, "reason": str(why), "instructions": list(lines)})
        else:
            for line in lines:
                print_line(line)
        raise typer.Exit(NotGiven.exit_code) from None
    _print_fetched(name, path, publication.license, scheme=f"{name}:", json=json)


def _print_fetched(name: str, path: Path, license_: str, *, scheme: str, json: bool) -> None:
    if json:
        print_json({"name": name, "fetched": True, "path": str(path), "license": license_})
        return
    follow = f"secondread data ingest {scheme}{path} --output ..."
    print_facts({"written to": path, "licence": license_, "next": follow})
