"""`secondread data catalogue`: which dataset versions and images there are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from secondread.cli.output import Json, example, print_json, print_line, print_table
from secondread.config.environment import Environment
from secondread.config.require import require

if TYPE_CHECKING:
    from secondread.data.catalogue.catalogue import Catalogue

app = typer.Typer(
    help="Dataset versions and their images, in SQLite or, with SECONDREAD_CATALOGUE_URI, in PostgreSQL.",
    no_args_is_help=True,
)
_SHOWN_HASH = 12
_SHOWN = (
    *("version", "image_id", "label", "split", "source", "sex", "age", "view"),
    *("body_part", "laterality", "burnt_in_text"),
)


@contextmanager
def _opened() -> Iterator[Catalogue]:
    from secondread.data.catalogue.catalogue import Catalogue

    with closing(Catalogue(Environment.read().catalogue_uri)) as catalogue:
        yield catalogue


@app.command(epilog=example("secondread data catalogue add var/dataset"))
def add(
    version: Annotated[Path, typer.Argument(help="Folder of a dataset version.")],
    json: Json = False,
) -> None:
    """Add a dataset version and its images; adding it again changes nothing."""
    from secondread.data.versions.dataset import DatasetVersion

    dataset = DatasetVersion.open(version)
    with _opened() as catalogue:
        new = catalogue.add(dataset)
    if json:
        print_json({"content_hash": dataset.content_hash, "images": len(dataset.manifest), "added": new})
        return
    print_line(f"{dataset.name}: {len(dataset.manifest)} images " + ("added" if new else "are there already"))


@app.command("list", epilog=example("secondread data catalogue list"))
def list_versions(json: Json = False) -> None:
    """List the versions, the latest first."""
    with _opened() as catalogue:
        versions = catalogue.versions()
    if json:
        print_json(versions)
        return
    table = Table("version", "parent", "added", "images", "classes", "px", "source", box=None, pad_edge=False)
    for row in versions:
        short = row["added_at"][:16].replace("T", " ")
        classes, size = str(len(row["taxonomy"]["classes"])), str(row["preprocessing"]["size"])
        hashes = (row[name][:_SHOWN_HASH] for name in ("content_hash", "parent"))
        table.add_row(*hashes, short, str(row["images"]), classes, size, row["source_uri"])
    print_table(table)


@app.command(epilog=example("secondread data catalogue query --label cxr-covid --split test --view PA"))
def query(
    version: Annotated[str, typer.Option(help="Content hash or its start; without it, of all versions.")] = "",
    label: Annotated[str, typer.Option(help="Class.")] = "",
    split: Annotated[str, typer.Option(help="train, val, test or final_eval.")] = "",
    modality: Annotated[str, typer.Option(help="cxr or oct.")] = "",
    source: Annotated[str, typer.Option(help="Where the image is from.")] = "",
    sex: Annotated[str, typer.Option(help="As the source gives it.")] = "",
    view: Annotated[str, typer.Option(help="Such as PA or AP.")] = "",
    body_part: Annotated[str, typer.Option(help="As DICOM says it, such as CHEST.")] = "",
    laterality: Annotated[str, typer.Option(help="R, L, B (both) or U (unpaired).")] = "",
    burnt_in_text: Annotated[str, typer.Option(help="stated (by the header), seen or none.")] = "",
    limit: Annotated[int, typer.Option(min=0, help="Images to show at most.")] = 20,
    json: Json = False,
) -> None:
    """Find images, and count them. Without --version each is told once, as in the latest version that matches."""
    from secondread.data.manifest import SPLITS

    require(not split or split in SPLITS, f"--split is '{split}', but must be one of {', '.join(SPLITS)}.")
    wanted = {"label": label, "split": split, "modality": modality, "source": source, "sex": sex, "view": view}
    wanted |= {"body_part": body_part, "laterality": laterality, "burnt_in_text": burnt_in_text}
    with _opened() as catalogue:
        total, images = catalogue.query(version=version, limit=limit, **wanted)
    if json:
        print_json({"images": total, "shown": images})
        return
    _print_images(images, _SHOWN)
    shown = f", {len(images)} shown" if len(images) < total else ""
    print_line(f"{total} images{shown}" + (", once each over all versions" if total and not version else ""))


@app.command(epilog=example("secondread data catalogue history 3f2a91c0b7de"))
def history(
    image_id: Annotated[str, typer.Argument(help="SHA-256 of the image's file, or its start, as `query` shows it.")],
    json: Json = False,
) -> None:
    """Tell an image's label and split in every version that has it."""
    with _opened() as catalogue:
        known = catalogue.history(image_id)
    if json:
        print_json(known)
        return
    if not known:
        print_line("no version in the catalogue has this image")
    _print_images(known, ("version", "added_at", "label", "split", "group_id"))


def _print_images(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    if not rows:
        return
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        shown = {name: "" if row[name] is None else str(row[name]) for name in columns}
        for name in {"version", "image_id"} & set(columns):
            shown[name] = shown[name][:_SHOWN_HASH]
        table.add_row(*shown.values())
    print_table(table)
