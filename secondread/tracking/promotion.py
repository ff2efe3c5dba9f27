"""Who is champion: `promote` and `rollback`, with who did it and why, and nothing unsigned on the way."""

from __future__ import annotations

from dataclasses import dataclass

from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from secondread.config.environment import Environment
from secondread.config.registry import RegistryConfig
from secondread.errors import GateRefused, IntegrityError, SecondReadError
from secondread.export.repository.layout import read_repository
from secondread.export.repository.opened import opened_repository
from secondread.export.repository.signing import verify_folder
from secondread.logging import get_logger
from secondread.tracking.aliases import CHALLENGER, Aliases, Moves, moves
from secondread.tracking.events import write_down
from secondread.tracking.registry import RegisteredVersion, Registry, VersionRecord
from secondread.tracking.runs import mlflow_errors, without_password

log = get_logger(__name__)


@dataclass(frozen=True)
class Decision:
    """Who decides, and why.

    Attributes:
        actor: a person's or a program's name.
        reason: one sentence.
        force: decide against what speaks against it, and write that down.
    """

    actor: str
    reason: str
    force: bool = False


@dataclass(frozen=True)
class Change:
    """What a promotion or rollback came to.

    Attributes:
        name: of the model.
        champion: version that is champion now.
        before: version that was; 0 if none.
        targets: rollback targets now, the next one first.
        despite: what spoke against it and was overruled.
    """

    name: str
    champion: int
    before: int
    targets: tuple[int, ...]
    despite: tuple[str, ...] = ()


def promote(
    registry: Registry,
    name: str,
    which: str = CHALLENGER,
    *,
    decision: Decision,
    environment: Environment,
    config: RegistryConfig = RegistryConfig(),  # noqa: B008 - frozen
) -> Change:
    """Make a version champion, and the champion so far the first rollback target.

    Args:
        registry: of the model.
        name: of the model.
        which: version or alias.
        decision: who, and why.
        environment: whose signatures count, and how to reach the version's repository.
        config: how many rollback targets are kept.
    Raises:
        GateRefused: no gate passed the version, and it is not forced.
        IntegrityError: its repository is unsigned or altered, and it is not forced.
        InputError, DependencyError: there is no such version, or something does not answer.
    """
    record = registry.record(name, which)
    aliases = registry.aliases(name)
    after = aliases.promoted(str(record.registered.version), keep=config.rollback_targets)
    objections = [*_gate_objections(record), *_signature_objections(record.registered, environment)]
    return _change(registry, record, aliases, after, "promote", decision, objections)


def rollback(registry: Registry, name: str, to: str = "", *, decision: Decision, environment: Environment) -> Change:
    """Make a former champion champion again. It was judged when it was promoted; its signature is checked again.

    Args:
        registry: of the model.
        name: of the model.
        to: version or alias of a rollback target; empty for the last champion.
        decision: who, and why.
        environment: as of `promote`.
    Raises:
        InputError: there is no such target.
        IntegrityError: its repository is unsigned or altered, and it is not forced.
        DependencyError: something does not answer.
    """
    named = registry.get(name, to)  # the champion, where none is named: there has to be one
    aliases = registry.aliases(name)
    after = aliases.rolled_back(str(named.version) if to else "")
    record = registry.record(name, after.champion)
    objections = _signature_objections(record.registered, environment)
    return _change(registry, record, aliases, after, "rollback", decision, objections)


def check_promotable(registry: Registry, name: str, which: str, *, environment: Environment) -> None:
    """Whether a version may be champion, before anything is done for it. Who was champion has been judged.

    Args:
        registry: of the model.
        name: of the model.
        which: version or alias.
        environment: as of `promote`.
    Raises:
        GateRefused: no gate passed the version.
        IntegrityError: its repository is unsigned or altered.
        InputError, DependencyError: there is no such version, or something does not answer.
    """
    record, aliases = registry.record(name, which), registry.aliases(name)
    judged = str(record.registered.version) in (aliases.champion, *aliases.targets)
    gate = [] if judged else _gate_objections(record)
    if objections := [*gate, *_signature_objections(record.registered, environment)]:
        raise objections[0]


def signer(version: RegisteredVersion, environment: Environment) -> str:
    """Which trusted key signed a version's repository; its files are fetched where they are in a store, and read.

    What is fetched is not kept: each version is asked for a few times, and the home of a controller of rollouts is a
    small volume.

    Raises:
        IntegrityError: it is unsigned, altered, signed with another key, or of another model.
        InputError, DependencyError: it cannot be reached.
    """
    with opened_repository(version.storage_uri, environment, keep=False) as folder:
        model = read_repository(folder, version.name)
        key = verify_folder(folder, environment.signing.trusted)
    if model.digest != version.digest:
        raise IntegrityError(
            f"{version.storage_uri} holds another model than version {version.version}. Register the model again."
        )
    return key.name


def _gate_objections(record: VersionRecord) -> list[SecondReadError]:
    passed, version = record.tags.get("gate.passed"), record.registered.version
    if passed == "true":
        return []
    said = "the gate refused" if passed == "false" else "no gate has judged"
    return [
        GateRefused(
            f"{said} version {version} of '{record.registered.name}'. Register it through `secondread pipeline run "
            "train`, or overrule that with `secondread register promote --force` and a --reason."
        )
    ]


def _signature_objections(version: RegisteredVersion, environment: Environment) -> list[SecondReadError]:
    try:
        signer(version, environment)
    except SecondReadError as error:
        return [error]
    return []


def _change(
    registry: Registry,
    record: VersionRecord,
    aliases: Aliases,
    after: Aliases,
    action: str,
    decision: Decision,
    objections: list[SecondReadError],
) -> Change:
    """Write down who decided what and why, then move the aliases; the champion changes with one call."""
    if objections and not decision.force:
        raise objections[0]
    name, version = record.registered.name, str(record.registered.version)
    despite = tuple(" ".join(str(objection).split()) for objection in objections)
    before = int(aliases.champion or 0)
    change = Change(name, int(version), before, tuple(map(int, after.targets)), despite)
    with mlflow_errors(registry.client):
        preparing, champion, tidying = moves(registry.raw_aliases(name), after)
        if champion:
            event = {"action": action, "actor": decision.actor, "reason": decision.reason, "from": before}
            write_down(registry.client, name, version, {**event, "despite": despite} if despite else event)
        _move(registry, name, [*preparing, *champion])
    try:
        _move(registry, name, tidying)
    except (MlflowException, SQLAlchemyError, OSError) as error:
        # the champion is the right one; the next promotion or rollback tidies up too
        reason = without_password((str(error).splitlines() or [type(error).__name__])[0])
        log.warning("version %s of '%s' is champion, but older aliases were not tidied up (%s)", version, name, reason)
    for objection in despite:
        log.warning("version %s of '%s' is champion although %s", version, name, objection)
    return change


def _move(registry: Registry, name: str, wanted: Moves) -> None:
    for alias, version in wanted:
        if version:
            registry.client.set_registered_model_alias(name, alias, version)
        else:
            registry.client.delete_registered_model_alias(name, alias)
