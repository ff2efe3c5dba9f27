"""`secondread train pretrain`: weights to start from, learned without labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from secondread.cli.output import Json, example, print_facts, print_json
from secondread.config.mapping import from_mapping
from secondread.config.pretrain import PretrainConfig
from secondread.config.settings import parse_settings


def add_to(app: typer.Typer) -> None:
    """Add the command to `secondread train`."""
    app.command(
        "pretrain",
        epilog=example("secondread train pretrain --data var/dataset --unlabelled films/ --output var/pretrained"),
    )(pretrain)


def pretrain(
    data: Annotated[Path, typer.Option(help="Dataset version: its train split, its image size and preprocessing.")],
    output: Annotated[Path, typer.Option(help="Folder to write; `train --start` begins with it.")],
    unlabelled: Annotated[
        list[str], typer.Option(help="Further images, labels not looked at: a folder, an archive, a URI. Repeatable.")
    ] = [],  # noqa: B006
    settings: Annotated[list[str], typer.Option("--set", help="Any setting, such as pretrain.masked_share=0.5.")] = [],  # noqa: B006
    json: Json = False,
) -> None:
    """Learn from images without labels (masked image modelling), to start a training from."""
    from secondread.data.versions.dataset import DatasetVersion
    from secondread.training.pretraining.pretrain import pretrain as run

    config = from_mapping(PretrainConfig, parse_settings(settings, stages=["pretrain"])["pretrain"])
    result = run(DatasetVersion.open(data), output, config, unlabelled=unlabelled)
    if json:
        print_json({"pretrained": str(output), "images": result.images, "losses": list(result.losses)})
    else:
        loss = f"{result.losses[0]:.3f} after the first pass, {result.losses[-1]:.3f} after the last"
        print_facts({"images": f"{result.images:,}", "loss": loss, "written to": output})
