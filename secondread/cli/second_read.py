"""`secondread second-read close | audit`: the second reader's working step, and whether its promise holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from secondread.cli.output import Json, example, print_facts, print_json
from secondread.errors import GateRefused, InputError

app = typer.Typer(
    help="Close what a first physician and the model agree on, send on the rest, and audit what was closed.",
    no_args_is_help=True,
)


@app.command(
    epilog=example(
        "secondread second-read close readings.parquet --first first.csv --evaluation var/evaluation "
        "--output var/worklists/2026-03-02"
    )
)
def close(
    readings: Annotated[Path, typer.Argument(help="Table that `secondread batch` wrote.")],
    first: Annotated[
        Path,
        typer.Option(help="The first reader's, CSV or Parquet: columns image_id (or path) and label, a row an image."),
    ],
    evaluation: Annotated[
        Path,
        typer.Option(help="Folder that `evaluate` wrote of that very model: its risk dial is kept to."),
    ],
    output: Annotated[Path, typer.Option(help="Folder to write, once.")],
    seed: Annotated[
        str, typer.Option(help="Of the lot that draws the audit, and settled before; by default the model's digest.")
    ] = "",
    json: Json = False,
) -> None:
    """Say of each study whether it is closed, and why not; and draw, by lot, which closed ones are read again."""
    from secondread.atomic import read_json
    from secondread.evaluation.physicians_table import read_labels
    from secondread.evaluation.reading_room.worklist import ClosingRule, close_studies
    from secondread.evaluation.results import EVALUATION_FILE
    from secondread.evaluation.worklist_folder import write_worklist
    from secondread.serving.batch.table import read_table

    said = read_table(readings)
    rule = ClosingRule.of_evaluation(read_json(evaluation / EVALUATION_FILE), digest=said.digest)
    labels = read_labels(first, said.image_ids, said.paths, said.classes)
    each = [labels.get(image_id or path, "") for image_id, path in zip(said.image_ids, said.paths, strict=True)]
    document = write_worklist(close_studies(said, each, rule, seed=seed), output)
    if json:
        print_json({**document, "output": str(output)})
    else:
        print_facts(_facts(document) | {"written to": output})


def _facts(document: dict[str, Any]) -> dict[str, Any]:
    """What people are told."""
    rule, escalated = document["rule"], {why: count for why, count in document["escalated"].items() if count}
    sure = "none, whatever it says" if rule["threshold"] is None else f"{rule['threshold']:.4f}"
    told = ", ".join(f"{count:,} {why}" for why, count in escalated.items())
    return {
        "studies": f"{document['studies']:,}",
        "closed": f"{document['closed']:,}: both agree, at a confidence from {sure} on",
        "escalated": f"{sum(escalated.values()):,}" + (f": {told}" if told else ""),
        "to be audited": f"{document['audited']:,} of the closed, whose lot is below {rule['audit_share']:g}",
        "accepted": f"{rule['accepted']:.2%} wrong closures, of all studies",
        "seed": document["seed"],
    }


@app.command(
    epilog=example(
        "secondread second-read audit var/worklists/2026-03-02 var/worklists/2026-03-03",
        "secondread second-read audit var/worklists/2026-03-02 --truth truth.csv --json",
    )
)
def audit(
    worklists: Annotated[list[Path], typer.Argument(help="Folders that `close` wrote.")],
    truth: Annotated[
        list[Path],
        typer.Option(
            help="What physicians found who read the drawn studies again, CSV or Parquet: image_id (or path) and "
            "label; by default each folder's audit.csv, filled in. Repeatable."
        ),
    ] = [],  # noqa: B006
    json: Json = False,
) -> None:
    """Count the wrong closures among the audited studies; exit code 4 where they break the promise."""
    from secondread.evaluation.physicians_table import read_labels
    from secondread.evaluation.reading_room.audit import ALARM
    from secondread.evaluation.reading_room.worklist import audit_worklists
    from secondread.evaluation.worklist_folder import AUDIT_FILE, read_worklist

    opened = [read_worklist(folder) for folder in worklists]
    ids = [each for item in opened for each in item.readings.image_ids]
    paths = [each for item in opened for each in item.readings.paths]
    found: dict[str, str] = {}
    for file in truth or [folder / AUDIT_FILE for folder in worklists]:
        labels = read_labels(file, ids, paths, opened[0].readings.classes)
        if twice := set(found) & set(labels):
            raise InputError(f"{len(twice)} images of {file} are in another such file as well: leave one out.")
        found |= labels
    result = audit_worklists(opened, found)
    others = len(found) - result.read
    if json:
        print_json({**result.to_json(), "not_drawn": others})
    else:
        print_facts(
            {
                "studies": f"{result.compared:,} that both have read",
                "closed": f"{result.closed:,}",
                "drawn": f"{result.drawn:,}",
                "read again": f"{result.read:,}"
                + (f"; {others:,} others were not drawn, and do not count" if others else ""),
                "closed wrongly": f"{result.wrong:,}",
                "verdict": ALARM if result.verdict == ALARM else result.sentence,
            }
        )
    if result.verdict == ALARM:
        raise GateRefused(result.sentence)
