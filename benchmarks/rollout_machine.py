"""Everything that rollouts need, on this machine: real Triton, transformer, Envoy, Prometheus and locust's users.

Nothing is simulated but what is wrong with a version (`rollout_faults`). Time is compressed by configuration alone:
shorter stages with fewer requests, and so wider margins: less is known after half a minute than after half an hour.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.rollout_faults import VARIABLE, FaultyEdgeProcess
from benchmarks.workplace import ROOT
from secondread.atomic import read_json, write_json
from secondread.config.control import ControlConfig
from secondread.config.environment import Environment
from secondread.config.loadtest import LoadTestConfig
from secondread.config.observe import ObserveConfig
from secondread.config.prometheus import PrometheusConfig
from secondread.config.rollout import CompareConfig, EvidenceConfig, RolloutConfig, StageConfig, TriggerConfig
from secondread.config.serve import ServeConfig
from secondread.data.sources.phantom.source import PhantomSource
from secondread.model.folder import ModelFolder
from secondread.rollout.analysis.decision import Action
from secondread.rollout.controller.carry_on import Carrier, begin
from secondread.rollout.record.record import RolloutRecord, Word
from secondread.rollout.splitters.edge_files import Deployed, Status
from secondread.serving.load.loadtest import locust_command
from secondread.serving.load.setting import LoadSetting
from secondread.tracking.registry import RegisteredVersion, Registry

NAME = "secondread"
FILMS = "phantom://oct?images=200&size=128&seed=7"  # as the model that is served learned from, and others
INTERVAL = 5.0
USERS = 6
_POLL_SECONDS = 0.2
_STAGE = {"undecided_seconds": 420.0, "deadline_seconds": 600.0}
STAGING = StageConfig(
    "staging",
    checks=("load_test", "conformance"),
    seconds_at_least=0.0,
    undecided_seconds=120.0,
    deadline_seconds=120.0,
)
SHADOW = StageConfig("shadow", mirror_percent=100, seconds_at_least=30.0, requests_at_least=400, **_STAGE)
SHARES = (
    StageConfig("canary", traffic_percent=20, seconds_at_least=30.0, requests_at_least=150, **_STAGE),
    StageConfig("half", traffic_percent=50, seconds_at_least=30.0, requests_at_least=400, **_STAGE),
    StageConfig("full", traffic_percent=100, seconds_at_least=20.0, requests_at_least=400, **_STAGE),
)
# The shipped policy's limits with the minutes made seconds, and margins that some hundred requests can show.
POLICY = RolloutConfig(
    stages=(STAGING, SHADOW, *SHARES),
    deadline_seconds=1800.0,
    triggers=TriggerConfig(latency_seconds=15.0, errors_seconds=15.0, drift_seconds=15.0, unready_seconds=30.0),
    compare=CompareConfig(
        errors_margin_points=4.0,
        refused_margin_points=4.0,
        latency_worse_points=10.0,
        latency_margin_points=40.0,
        tail_worse_points=2.0,
        tail_margin_points=10.0,
        classes_margin_points=25.0,
        confidence_margin_points=30.0,
        outside_margin_points=20.0,
    ),
    evidence=EvidenceConfig(settle_seconds=6.0, age_seconds=20.0, split_points=10.0, split_seconds=30.0),
)
# What would happen if nothing were seen before the first patient: neither checks nor mirrored requests.
UNCHECKED = replace(POLICY, stages=SHARES)


@dataclass(frozen=True)
class Ended:
    """How a rollout ended.

    Attributes:
        action: promote or roll_back; empty where it did not end.
        stage: in which.
        reason: of it.
        seconds: from its begin.
        seconds_of_requests: from the first request that the version answered or was mirrored; 0 where there was none.
        answered: requests whose answer was the new version's.
        requests: of both.
        failed: requests that callers were told have failed.
        stable_failed: of these, by the stable version.
        record: of it.
    """

    action: str
    stage: str
    reason: str
    seconds: float
    seconds_of_requests: float
    answered: float
    requests: int
    failed: int
    stable_failed: float
    record: RolloutRecord

    @property
    def harmed(self) -> float:
        """Share of all requests whose answer was the new version's."""
        return self.answered / self.requests if self.requests else 0.0


class Machine:
    """Everything that a rollout needs, on this machine, until it is closed.

    Args:
        model: what is served.
        home: folder for all of it.
        faults: of the versions 2, 3, ... in this order; empty for a good one.
        users: callers at the same time.
        interval_seconds: between two looks.
    Attributes:
        versions: that are registered, the one that is served first.
        registry: of them.
        status: where the edge listens.
    """

    def __init__(
        self,
        model: ModelFolder,
        home: Path,
        faults: Sequence[str],
        *,
        users: int = USERS,
        interval_seconds: float = INTERVAL,
    ) -> None:
        self._home, self._users, self._interval_seconds = home, users, interval_seconds
        self.environment = Environment.read({**os.environ, "SECONDREAD_HOME": str(home)})
        self.registry = Registry(self.environment.mlflow_tracking_uri)
        self.versions = self._registered(model, faults)
        by_digest = {each.digest: fault for each, fault in zip(self.versions[1:], faults, strict=True) if fault}
        write_json(home / "faults.json", by_digest)
        (home / "films").mkdir()
        for number, film in enumerate(PhantomSource(FILMS).images()):
            (home / "films" / f"{number}.png").write_bytes(film.read())

    def __enter__(self) -> Machine:
        """With the first version served, and users who ask."""
        os.environ[VARIABLE] = str(self._home / "faults.json")
        config = ServeConfig(http_port=0, grpc_port=0, threads=1, drift_images=200, drift_seconds=5.0)
        self._edge = FaultyEdgeProcess(
            self._home,
            config,
            trusted=self.environment.signing.trusted,
            stable=Deployed.of(self.versions[0]),
            prometheus=PrometheusConfig(port=0, scrape_seconds=1.0),
        )
        try:
            self.status = self._edge.wait_until_ready()
            self._users_of(self.status)
            while not self._lines():
                time.sleep(_POLL_SECONDS)
        except BaseException:
            self._edge.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End it all."""
        self._locust.terminate()
        self._locust.wait()
        self._edge.stop()

    @property
    def control(self) -> ControlConfig:
        """How rollouts are carried on here."""
        return ControlConfig(
            interval_seconds=self._interval_seconds,
            observe=ObserveConfig(prometheus_url=self.status.prometheus_url, stale_seconds=10.0),
            load_test=LoadTestConfig(users=2, seconds=8.0, requests_at_least=30, p99_below_ms=500.0),
            images=str(self._home / "films"),
        )

    def roll_out(self, version: RegisteredVersion, policy: RolloutConfig = POLICY) -> Ended:
        """Let a version in, to the end."""
        first, since = len(self._lines()), time.time()
        record = begin(
            str(version.version),
            name=NAME,
            policy=policy,
            config=self.control,
            environment=self.environment,
            actor="benchmark",
            reason="to see how it ends",
            now=since,
        )
        stop = threading.Event()
        with Carrier(self.control, self.environment) as carrier:

            def look_on() -> None:
                if record.read().state.paused:  # a person would decide, and nobody is here
                    stop.set()

            ended = carrier.until_ended(record, clock=time.time, stop=stop, seen=look_on).ended
            if not ended:
                record.say(Word("roll_back", "benchmark", "nobody is here to decide"))
                carrier.look(record, time.time())
        lines = self._lines()[first:]
        return _ended(record, ended, since, lines)

    def _lines(self) -> list[list[object]]:
        """A line for each request of locust's users that has ended."""
        text = self._times.read_text(encoding="utf-8") if self._times.is_file() else ""
        return [json.loads(line) for line in text.split("\n")[:-1] if line[:1] == "["]

    def _users_of(self, status: Status) -> None:
        self._times = self._home / "times.jsonl"
        config = LoadTestConfig(
            url=status.url,
            grpc_url=status.grpc_url,
            users=self._users,
            seconds=36_000.0,
            think_seconds=0.1,
            as_readings=True,  # they are the callers here
        )
        setting = LoadSetting(config=config, times=str(self._times), images=str(self._home / "films"))
        command = locust_command(config)
        with (self._home / "locust.log").open("wb") as log:
            self._locust = subprocess.Popen(
                command,
                env={**os.environ, **setting.to_environment()},
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _registered(self, model: ModelFolder, faults: Sequence[str]) -> list[RegisteredVersion]:
        """The model again and again, as versions of their own."""
        found = []
        for number in range(len(faults) + 1):
            folder = self._home / "candidates" / str(number)
            shutil.copytree(model.root, folder)
            config = read_json(folder / "config.json")
            config |= {"name": NAME, "library_version": str(number)}
            write_json(folder / "config.json", config)
            found.append(
                self.registry.register(
                    ModelFolder.open(folder),
                    name=NAME,
                    root=self._home / "models",
                    tags={"gate.passed": "true"},
                    environment=self.environment,
                )
            )
        return found


def _ended(record: RolloutRecord, action: str, since: float, lines: list[list[object]]) -> Ended:
    seen = record.observations()
    last = next(
        each for each in record.events() if each.what in (Action.PROMOTE, Action.ROLL_BACK, Action.INCONCLUSIVE)
    )
    asked = [each for each in seen if each.split and each.split.canary + each.split.mirrored]
    stages = record.plan.policy.stages
    return Ended(
        action=action,
        stage=stages[record.read().state.stage].name,
        reason=last.reason,
        seconds=last.at - since,
        seconds_of_requests=last.at - asked[0].start if asked else 0.0,
        answered=sum(each.split.canary for each in seen if each.split),
        requests=len(lines),
        failed=sum(bool(line[4]) for line in lines),
        stable_failed=sum(each.stable.failed or 0.0 for each in seen if each.stable),
        record=record,
    )
