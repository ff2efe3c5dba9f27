"""The registry as a rollout needs it: where versions lie, and who is champion."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from secondread.config.environment import Environment
from secondread.rollout.record.record import Event, Plan
from secondread.tracking.events import write_down
from secondread.tracking.promotion import Decision, check_promotable, promote, rollback
from secondread.tracking.registry import RegisteredVersion, Registry

ROLLOUT = "rollout."  # tags of a version, by time


class RegistryChampions:
    """See `Champions`. The registry is asked anew each time: one that was gone may be back.

    Args:
        environment: where it is, and whose signatures count.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._written: tuple[float, int] = (0.0, 0)  # when the last event was, and how many of that time came before it

    def version(self, name: str, number: int) -> RegisteredVersion:
        """See `Champions.version`.

        Raises:
            InputError: there is no such version.
            DependencyError: the registry does not answer.
        """
        return self._registry().get(name, str(number))

    def check(self, name: str, number: int) -> None:
        """See `Champions.check`.

        Raises:
            GateRefused: no gate passed the version, and it was never champion.
            IntegrityError: its repository is unsigned or altered.
            InputError, DependencyError: there is no such version, or something does not answer.
        """
        check_promotable(self._registry(), name, str(number), environment=self._environment)

    def promoted(self, name: str, number: int, *, actor: str, reason: str) -> None:
        """See `Champions.promoted`. The gate's verdict and the signature are asked once more.

        Raises:
            GateRefused, IntegrityError: the version may not be champion.
            DependencyError: the registry does not answer.
        """
        registry = self._registry()
        if _champion(registry, name) != number:
            promote(registry, name, str(number), decision=Decision(actor, reason), environment=self._environment)

    def rolled_back(self, name: str, number: int, *, actor: str, reason: str) -> None:
        """See `Champions.rolled_back`. One that was champion too long ago to be kept as a target is promoted again.

        Raises:
            GateRefused, IntegrityError: the version may not be champion.
            DependencyError: the registry does not answer.
        """
        registry, decision = self._registry(), Decision(actor, reason)
        aliases = registry.aliases(name)
        if int(aliases.champion or 0) == number:
            return
        change = rollback if str(number) in aliases.targets else promote
        change(registry, name, str(number), decision=decision, environment=self._environment)

    def write_down(self, plan: Plan, event: Event) -> None:
        """Keep an event with the candidate, as the tag `rollout.<time>`. What a controller calls `Tell`.

        Raises:
            InputError: there is no such version.
            DependencyError: the registry does not answer.
        """
        before, number = self._written
        self._written = event.at, number + 1 if event.at == before else 0  # one look has one time, and several events
        at = datetime.fromtimestamp(event.at, UTC) + timedelta(microseconds=self._written[1])
        what = {"stage": event.stage, "what": event.what, "reason": event.reason, "figures": event.figures}
        write_down(self._registry().client, plan.name, str(plan.candidate), what, prefix=ROLLOUT, at=at)

    def _registry(self) -> Registry:
        return Registry(self._environment.mlflow_tracking_uri)


def _champion(registry: Registry, name: str) -> int:
    return int(registry.aliases(name).champion or 0)
