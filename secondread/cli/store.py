"""`secondread data publish | fetch | list`: dataset versions in a store that others reach too."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from secondread.cli.output import Json, example, print_facts, print_json, print_line
from secondread.config.environment import Environment
from secondread.config.require import require

Root = Annotated[str, typer.Argument(help="Folder, s3://bucket/prefix or swift://container/prefix.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog=example("secondread data publish var/dataset s3://films/versions"))(publish)
    app.command(epilog=example("secondread data fetch s3://films/versions/3f2a91c0b7de var/dataset"))(fetch)
    app.command("list", epilog=example("secondread data list swift://films/versions"))(list_versions)


def publish(
    version: Annotated[Path, typer.Argument(help="Folder of a dataset version.")],
    uri: Root,
    json: Json = False,
) -> None:
    """Store a dataset version. It can be seen there once all of it is; run again, it goes on where it stopped."""
    from secondread.data.store.open import open_store
    from secondread.data.store.publish import publish as run
    from secondread.data.versions.dataset import DatasetVersion

    done = run(DatasetVersion.open(version), open_store(uri, Environment.read()))
    if json:
        print_json({"uri": done.uri, "sent": done.sent, "there": done.there, "bytes": done.size})
        return
    objects = f"{done.sent} sent, {done.there} were there"
    print_facts({"published": done.uri, "objects": objects, "megabytes": f"{done.size / 1e6:.1f}"})


def fetch(
    uri: Annotated[str, typer.Argument(help="URI that `publish` printed; 7 characters of the content hash will do.")],
    folder: Annotated[Path, typer.Argument(help="Folder to write; it appears whole or not at all.")],
    json: Json = False,
) -> None:
    """Fetch a dataset version, checked; run again, it goes on where it stopped."""
    from secondread.data.store.fetch import fetch as run
    from secondread.data.store.open import open_store

    root, _, name = uri.rstrip("/").rpartition("/")
    version = run(open_store(root, Environment.read()), name, folder)
    if json:
        print_json({"output": str(folder), "content_hash": version.content_hash})
        return
    print_facts({"dataset version": version.name, "written to": folder})


def list_versions(uri: Root, json: Json = False) -> None:
    """List the dataset versions that a store has whole."""
    from secondread.data.store.local import LocalStore
    from secondread.data.store.open import open_store
    from secondread.data.store.publish import published

    store = open_store(uri, Environment.read())
    if isinstance(store, LocalStore):  # a store on a server has no folders that could be missing
        require(store.root.is_dir(), f"{store.root} does not exist. Name the folder that versions were published to.")
    found = published(store)
    if json:
        versions = [{"content_hash": item.content_hash, "bytes": item.size, **item.summary} for item in found]
        print_json({"uri": store.uri, "versions": versions})
        return
    for item in found:
        images = sum(sum(classes.values()) for classes in item.summary["counts"].values())
        print_line(f"{item.content_hash}  {images} images of {item.summary['image_size']} px")
    if not found:
        print_line(f"no dataset version in {store.uri}")
