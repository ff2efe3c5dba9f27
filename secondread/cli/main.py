"""`secondread`: the commands joined, and errors turned into one line and an exit code."""

from __future__ import annotations

import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from secondread import __version__
from secondread.cli import data, model, pipeline, register, rollout, second_read, serving, train
from secondread.cli.output import Json, example, print_json
from secondread.config.environment import Environment
from secondread.errors import DependencyError, SecondReadError
from secondread.logging import configure

app = typer.Typer(
    name="secondread",
    help="A second reader for medical images: from a folder of labelled images to a served model.\n\n"
    "Exit codes: 0 done, 2 the input is wrong, 3 a dependency is missing or down, 4 a gate said no, 70 a bug of ours.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(data.app, name="data")
app.add_typer(pipeline.app, name="pipeline")
app.add_typer(train.app, name="train")
model.add_to(app)
app.add_typer(register.app, name="register")
serving.add_to(app)
app.add_typer(second_read.app, name="second-read")
app.add_typer(rollout.app, name="rollout")


@app.callback()
def _begin(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        sys.stdout.write(f"secondread {__version__}\n")
        raise typer.Exit
    configure(as_json=Environment.read().log_json)


@app.command(epilog=example("secondread doctor"))
def doctor(
    json: Json = False,
    triton: Annotated[
        Path | None, typer.Option(help="Environment of the local Triton; by default where `serve` looks.")
    ] = None,
) -> None:
    """Say what is there, what is missing, and how to get it."""
    from secondread.doctor import diagnose

    checks = diagnose(Environment.read().home, triton=triton)
    if json:
        print_json([asdict(check) for check in checks])
    else:
        table = Table("", "what", "found", "needed for", "how to get it", box=None)
        for check in checks:
            mark = "[green]✔[/green]" if check.found else "[red]✘[/red]" if check.required else "-"
            table.add_row(mark, check.name, check.detail, check.needed_for, "" if check.found else check.remedy)
        Console(soft_wrap=False).print(table)
    missing = [check.name for check in checks if check.required and not check.found]
    if missing:
        raise DependencyError(f"missing: {', '.join(missing)}. The table says how to get it.")


def main() -> None:
    """Run the command line, and turn an error into one line and its exit code."""
    try:
        app()
    except SecondReadError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"[red]error:[/red] {_escaped(error)}")
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        sys.stderr.write(
            f"error: this command needs the package '{error.name}'. `secondread doctor` says how to get it.\n"
        )
        sys.exit(DependencyError.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception:  # noqa: BLE001 - the outermost frame: whatever comes here is a bug of ours, and is shown whole
        traceback.print_exc()
        sys.stderr.write("error: this is a bug of secondread. Please report the lines above.\n")
        sys.exit(SecondReadError.exit_code)


def _escaped(error: SecondReadError) -> str:
    from rich.markup import escape

    return escape(" ".join(str(error).split()))
