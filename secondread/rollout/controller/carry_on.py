"""Carries rollouts on: makes the controller of each out of what is configured, and has it look again and again."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from secondread.config.control import ControlConfig
from secondread.config.environment import Environment
from secondread.config.observe import ObserveConfig
from secondread.errors import DependencyError, InputError, StoppedError
from secondread.logging import get_logger
from secondread.rollout.analysis.state import RolloutState
from secondread.rollout.cluster import Cluster
from secondread.rollout.controller.champions import RegistryChampions
from secondread.rollout.controller.checks import CONFORMANCE, LOAD_TEST, Check
from secondread.rollout.controller.controller import Controller, Tell, tell_all
from secondread.rollout.controller.lease import Lease
from secondread.rollout.controller.tell import News, Webhook
from secondread.rollout.metrics.watch import Watch
from secondread.rollout.record.home import Rollouts
from secondread.rollout.record.record import Event, Plan, RolloutRecord
from secondread.rollout.splitters.edge_files import EdgeFiles
from secondread.rollout.splitters.envoy import EnvoySplitter

if TYPE_CHECKING:
    from secondread.config.rollout import RolloutConfig
    from secondread.rollout.splitters.splitter import Splitter

_WORD_SECONDS = 0.5  # between two looks for a person's word: they wait

log = get_logger(__name__)


def open_lease(config: ControlConfig) -> Lease | None:
    """What the one controller of a service on a cluster holds; None on one machine, where files are locked.

    Raises:
        InputError, DependencyError: as of `open_splitter`.
    """
    if config.splitter == "envoy":
        return None
    return Lease(Cluster(config.namespace), f"{config.service}-rollout", socket.gethostname())


def open_splitter(config: ControlConfig, environment: Environment) -> Splitter:
    """Whoever shares the requests.

    Raises:
        InputError: there are no credentials of a cluster.
        DependencyError: the library that asks a cluster is not installed.
    """
    if config.splitter == "envoy":
        return EnvoySplitter(environment.home)
    from secondread.rollout.splitters.inference_service import InferenceService
    from secondread.rollout.splitters.knative import KnativeSplitter
    from secondread.rollout.splitters.kserve_canary import KServeCanarySplitter

    service = InferenceService(config.service, config.namespace)
    return KnativeSplitter(service) if config.splitter == "knative" else KServeCanarySplitter(service)


def begin(
    candidate: str,
    *,
    name: str,
    policy: RolloutConfig,
    config: ControlConfig,
    environment: Environment,
    actor: str,
    reason: str,
    now: float,
) -> RolloutRecord:
    """Begin a rollout of a registered version beside the champion. Nothing is deployed yet: the first look does.

    Args:
        candidate: version or alias.
        name: of the model.
        policy: by which it is decided.
        config: who shares the requests.
        environment: where registry and records are.
        actor: who begins it.
        reason: why.
        now: seconds since 1970.
    Raises:
        GateRefused, IntegrityError: no gate passed the version, or it is not what was signed.
        InputError: there is no such version, it is the champion, the champion is not what is served, the splitter
            cannot do what the policy wants, or a rollout of this model has not ended.
        DependencyError: the registry or the splitter does not answer.
    """
    from secondread.tracking.registry import Registry

    registry = Registry(environment.mlflow_tracking_uri)
    champion, new = registry.get(name), registry.get(name, candidate)
    if new.version == champion.version:
        raise InputError(f"version {new.version} of '{name}' is the champion: there is nothing to let in.")
    champions = RegistryChampions(environment)
    champions.check(name, new.version)
    splitter = open_splitter(config, environment)
    splitter.check()
    mirrored = [stage.name for stage in policy.stages if stage.mirror_percent]
    if mirrored and not splitter.mirrors:
        raise InputError(
            f"{config.splitter} mirrors no requests: leave stage {mirrored[0]} out of the policy, and ask more of the "
            "first stage with a share."
        )
    checked = [stage.name for stage in policy.stages if stage.checks]
    if checked and not splitter.asks_candidate:
        raise InputError(
            f"{config.splitter} has no address at which a candidate alone is asked: leave stage {checked[0]} out of "
            "the policy, and load-test the version before it is let in."
        )
    served = splitter.read().stable
    if served.digest != champion.digest:
        raise InputError(
            f"what answers now (digest {served.digest[:12]}) is not the champion, version {champion.version} (digest "
            f"{champion.digest[:12]}): have them agree first, by `secondread register promote` or `rollback`."
        )
    plan = Plan(name, champion.version, new.version, policy, actor, reason, now)
    record = Rollouts(environment.home).begin(plan)
    event = Event(now, "begun", policy.stages[0].name, f"{actor}: {reason}")
    record.tell(event)
    tell_all(tellers(config, champions), plan, event)
    return record


def tellers(config: ControlConfig, champions: RegistryChampions) -> tuple[Tell, ...]:
    """Who is told of a rollout's events beside its own record."""
    told: list[Tell] = [News(champions.write_down)]
    if config.webhook_url:
        told.append(News(Webhook(config.webhook_url, timeout_seconds=config.webhook_seconds)))
    return tuple(told)


def _observed(config: ControlConfig, environment: Environment) -> ObserveConfig:
    """Which Prometheus is asked, and what.

    Raises:
        DependencyError: it is the edge's own, and the edge does not run, or has none.
    """
    if config.observe.prometheus_url:
        return config.observe
    own = EdgeFiles(environment.home).read_status().prometheus_url
    if not own:
        raise DependencyError("the edge runs without a Prometheus: name yours as control.observe.prometheus_url.")
    return replace(config.observe, prometheus_url=own)


@dataclass
class _Carried:
    controller: Controller
    checks: list[Check]
    looked: float = float("-inf")


class Carrier:
    """Carries on rollouts until it is closed. One rollout is carried on by one process at a time.

    Args:
        config: how.
        environment: where registry and records are.
    """

    def __init__(self, config: ControlConfig, environment: Environment) -> None:
        self._config, self._environment = config, environment
        self._carried: dict[Path, _Carried] = {}
        self._stack = ExitStack()
        self._refused: set[str] = set()
        self._lease = open_lease(config)

    def __enter__(self) -> Carrier:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let others carry on."""
        for carried in self._carried.values():
            for check in carried.checks:
                check.stop()
        self._stack.close()

    def look(self, record: RolloutRecord, now: float) -> RolloutState:
        """Have its controller look once, where it is time to, or somebody has asked for something.

        Args:
            record: of the rollout.
            now: seconds since 1970.
        Returns:
            Where it is afterwards.
        Raises:
            DependencyError: another process carries it on.
            StoppedError: another one may do so by now.
        """
        carried = self._carried.get(record.folder) or self._take(record)
        if record.word() or not 0 <= now - carried.looked < self._config.interval_seconds:
            carried.looked = now
            return carried.controller.tick(now)
        return record.read().state

    def until_ended(
        self, record: RolloutRecord, *, clock: Callable[[], float], stop: threading.Event, seen: Callable[[], None]
    ) -> RolloutState:
        """Carry one on until it has ended, or one is to stop.

        Args:
            record: of the rollout.
            clock: seconds since 1970.
            stop: says that one is to stop.
            seen: called after each look.
        """
        while True:
            state = self.look(record, clock())
            seen()
            if state.ended or stop.wait(_WORD_SECONDS):
                return state

    def all(self, *, clock: Callable[[], float], stop: threading.Event, seen: Callable[[], None]) -> None:
        """Carry on whatever has not ended, and what begins later, until one is to stop.

        Args:
            clock: seconds since 1970.
            stop: says that one is to stop.
            seen: called after each look, and again and again while another process is waited for.
        Raises:
            StoppedError: as of `look`.
        """
        if self._lease and self._lease.wait(stop, meanwhile=seen):
            self._stack.enter_context(self._lease.kept())
        while not stop.is_set():
            self.once(Rollouts(self._environment.home).running(), now=clock())
            seen()
            stop.wait(_WORD_SECONDS)

    def once(self, records: Iterable[RolloutRecord], *, now: float) -> None:
        """Look at each once; what another process carries on is left to it."""
        for record in records:
            try:
                self.look(record, now)
            except StoppedError:
                raise
            except DependencyError as error:
                if str(error) not in self._refused:
                    self._refused.add(str(error))
                    log.warning("%s", error)

    def _take(self, record: RolloutRecord) -> _Carried:
        if self._lease and not self._lease.held():
            if not self._lease.acquire():
                raise DependencyError("another controller holds the lease of this service: it carries its rollouts on.")
            self._stack.enter_context(self._lease.kept())
        splitter = open_splitter(self._config, self._environment)
        champions = RegistryChampions(self._environment)
        checks = {
            kind: Check(kind, record.folder, load_test=self._config.load_test, images=self._config.images)
            for kind in (LOAD_TEST, CONFORMANCE)
        }
        told = tellers(self._config, champions)
        known = (splitter.traffic, splitter.agreement) if isinstance(splitter, EnvoySplitter) else ()
        watch = Watch(_observed(self._config, self._environment), splitter, *known)
        may_act = self._lease.check if self._lease else lambda: None
        controller = Controller(record, splitter, champions, watch, checks=checks, tell=told, may_act=may_act)
        self._stack.enter_context(controller.alone())
        carried = self._carried[record.folder] = _Carried(controller, list(checks.values()))
        return carried
