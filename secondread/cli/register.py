"""`secondread register`: a model into the registry, and who is champion there."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from secondread.cli.output import Json, example, print_facts, print_json, print_line, print_table
from secondread.config.environment import Environment
from secondread.config.register import RegisterConfig
from secondread.config.registry import RegistryConfig
from secondread.errors import InputError, IntegrityError, SecondReadError

if TYPE_CHECKING:
    # MLflow takes seconds to import, which `--help` should not pay
    from secondread.tracking.promotion import Change
    from secondread.tracking.registry import VersionRecord

_FIGURES = ("accuracy", "auroc_macro", "ece")  # of the gate, in the table; --json has all

_BY_HAND = example("secondread register --model var/quantized --name secondread --reason 'first model'")
app = typer.Typer(help="Register a model, and say which version is champion.", invoke_without_command=True)

Name = Annotated[str, typer.Option(help="Of the model.")]
Actor = Annotated[str, typer.Option(help="Who does it.", envvar="USER")]
Reason = Annotated[str, typer.Option(help="Why, in a sentence.")]
Force = Annotated[
    bool, typer.Option("--force", help="Overrule the gate or a missing signature; it is written down, with --reason.")
]


@app.callback(epilog=_BY_HAND)
def register(
    context: typer.Context,
    model: Annotated[Path | None, typer.Option(help="Model folder. Required.")] = None,
    name: str = "secondread",
    root: Annotated[
        str,
        typer.Option(help="Folder, s3:// or swift:// for <name>/<digest>/; by default SECONDREAD_HOME/models."),
    ] = "",
    actor: Annotated[str, typer.Option(help="Who registers it.", envvar="USER")] = "unknown",
    reason: Annotated[str, typer.Option(help="Why.")] = "by hand",
    json: Json = False,
) -> None:
    """Register a model by hand, without the pipeline's gates: sign it, and write its Triton repository."""
    if context.invoked_subcommand is not None:
        return
    if model is None:
        raise InputError("register needs --model. `secondread register --help` shows an example.")
    config = RegisterConfig(name=name, root=root)
    from secondread.model.folder import ModelFolder
    from secondread.pipeline.tags import model_tags
    from secondread.tracking.origin import Origin
    from secondread.tracking.registry import Registry

    environment = Environment.read()
    opened = ModelFolder.open(model)
    registry = Registry(environment.mlflow_tracking_uri)
    registered = registry.register(
        opened,
        name=config.name,
        root=config.root or environment.home / "models",
        tags={**model_tags(opened, environment), "registered_by": actor, "registered_because": reason},
        environment=environment,
        origin=Origin.read(opened.root),
    )
    if json:
        print_json(asdict(registered))
    else:
        print_facts({key: value for key, value in asdict(registered).items() if value})
        if not registry.aliases(config.name).champion:
            print_line("No version is champion: no gate passed one. `secondread pipeline run train` asks it, and")
            print_line(f"`secondread register promote {registered.version} --force --reason ...` overrules that.")


@app.command("list", epilog=example("secondread register list", "secondread register list --name oct --verify --json"))
def list_versions(
    name: Name = RegisterConfig.name,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every repository, and check its signature; exit 2 if one fails.")
    ] = False,
    json: Json = False,
) -> None:
    """Show the versions of a model: aliases, what they learned from, figures, signature, and when they came."""
    from secondread.tracking.registry import Registry

    environment = Environment.read()
    records = Registry(environment.mlflow_tracking_uri).records(name)
    checked = {record.registered.version: _verified(record, environment) for record in records} if verify else {}
    if json:
        print_json([_as_json(record, checked.get(record.registered.version)) for record in records])
    elif not records:
        print_line(f"no version of '{name}' is registered")
    else:
        print_table(_table(records, checked))
    failed = [version for version, said in checked.items() if not said["verified"]]
    if failed:
        raise IntegrityError(f"version {failed[0]} of '{name}': {checked[failed[0]]['problem']}")


@app.command(
    epilog=example(
        "secondread register promote --reason 'a week beside the champion, no worse'",
        "secondread register promote 7 --force --reason 'the old one fails on portable films'",
    )
)
def promote(
    reason: Reason,
    version: Annotated[str, typer.Argument(help="Version or alias.")] = "challenger",
    name: Name = RegisterConfig.name,
    actor: Actor = "unknown",
    force: Force = False,
    keep: Annotated[int, typer.Option(help="Rollback targets to keep.")] = RegistryConfig.rollback_targets,
    json: Json = False,
) -> None:
    """Make a version champion; the champion so far becomes the first rollback target, champion-1.

    A version whose gate did not pass is refused (exit code 4), and one whose files are unsigned or altered (2).
    """
    from secondread.tracking.promotion import Decision
    from secondread.tracking.promotion import promote as run
    from secondread.tracking.registry import Registry

    environment, config = Environment.read(), RegistryConfig(rollback_targets=keep)
    registry = Registry(environment.mlflow_tracking_uri)
    decision = Decision(actor, _said(reason), force)
    _print_change(run(registry, name, version, decision=decision, environment=environment, config=config), json=json)


@app.command(
    epilog=example(
        "secondread register rollback --reason 'misses effusions since Monday'",
        "secondread register rollback --to champion-2 --reason 'both since May'",
    )
)
def rollback(
    reason: Reason,
    to: Annotated[str, typer.Option(help="Rollback target, by version or alias; by default champion-1.")] = "",
    name: Name = RegisterConfig.name,
    actor: Actor = "unknown",
    force: Force = False,
    json: Json = False,
) -> None:
    """Make the champion of before champion again. Its files must be what was signed."""
    from secondread.tracking.promotion import Decision
    from secondread.tracking.promotion import rollback as run
    from secondread.tracking.registry import Registry

    environment = Environment.read()
    registry = Registry(environment.mlflow_tracking_uri)
    decision = Decision(actor, _said(reason), force)
    _print_change(run(registry, name, to, decision=decision, environment=environment), json=json)


@app.command(epilog=example("secondread register key --output keys/"))
def key(
    output: Annotated[Path, typer.Option(help="Folder that gets model-signing.key and model-signing.pub.")],
    json: Json = False,
) -> None:
    """Make a key pair to sign models with: the private key for whoever registers, the public one for whoever serves."""
    from secondread.export.repository.signing_key import make_key_pair

    made = make_key_pair(output)
    facts = {
        "private": str(made.path.absolute()),
        "public": str(made.path.absolute().with_suffix(".pub")),
        "key": made.public.name,
    }
    if json:
        print_json(facts)
        return
    print_facts(facts)
    print_line("Set SECONDREAD_SIGNING_KEY_FILE to the private one where models are registered, and")
    print_line("SECONDREAD_TRUSTED_KEYS to the public one where they are served.")


def _said(reason: str) -> str:
    if not reason.strip():
        raise InputError("--reason is empty. Say in a sentence why, for whoever asks later.")
    return reason.strip()


def _print_change(change: Change, *, json: bool) -> None:
    if json:
        print_json(asdict(change))
        return
    facts: dict[str, Any] = {"champion": f"version {change.champion}", "before": f"version {change.before}"}
    facts["rollback targets"] = ", ".join(f"{target} (champion-{n})" for n, target in enumerate(change.targets, 1))
    print_facts({key: value for key, value in facts.items() if value and value != "version 0"})


def _verified(record: VersionRecord, environment: Environment) -> dict[str, Any]:
    from secondread.tracking.promotion import signer

    try:
        return {"verified": True, "signed_by": signer(record.registered, environment), "problem": ""}
    except SecondReadError as error:
        return {"verified": False, "problem": " ".join(str(error).split())}


def _as_json(record: VersionRecord, checked: dict[str, Any] | None) -> dict[str, Any]:
    from secondread.tracking.events import EVENT, events
    from secondread.tracking.gate_tags import GateTags

    gate = GateTags.read(record.tags)
    registered = {key: value for key, value in asdict(record.registered).items() if key != "alias"}
    return {
        **registered,
        "aliases": list(record.aliases),
        "created": record.created,
        "gate_passed": gate.passed,
        "gate_lines": dict(gate.lines),
        "figures": dict(gate.figures),
        "signed_by": record.tags.get("signed_by"),
        "verified": None if checked is None else checked["verified"],
        "problem": checked["problem"] if checked else "",
        "events": events(record.tags, of=f"version {record.registered.version} of '{record.registered.name}'"),
        "tags": {key: text for key, text in record.tags.items() if not key.startswith(EVENT)},
    }


def _table(records: list[VersionRecord], checked: dict[int, dict[str, Any]]) -> Table:
    table = Table("version", "aliases", "dataset version", "gate", *_FIGURES, "signature", "created", box=None)
    for record in records:
        tags, version = record.tags, record.registered.version
        passed = {"true": "passed", "false": "refused"}.get(tags.get("gate.passed", ""), "not judged")
        figures = [f"{float(tags[f'gate.{name}']):.3f}" if f"gate.{name}" in tags else "" for name in _FIGURES]
        signature = f"signed by {tags['signed_by'][:8]}" if "signed_by" in tags else "unsigned"
        if version in checked:
            signer = checked[version].get("signed_by")
            signature = f"verified, {signer[:8]}" if signer else "not verified"
        dataset = tags.get("dataset_version", "")[:12]
        aliases = ", ".join(record.aliases)
        table.add_row(str(version), aliases, dataset, passed, *figures, signature, record.created)
    return table
