"""Prometheus itself, for one machine: a child process that reads the edge's servers, and is started again when it ends.

Its configuration is made anew at each start; what it has read outlives it, so that a restart costs the time it takes.
"""

from __future__ import annotations

import re
import shutil
import threading
import urllib.request
from http import HTTPStatus
from pathlib import Path
from typing import Any

from secondread.atomic import write_json
from secondread.config.prometheus import PrometheusConfig
from secondread.errors import DependencyError
from secondread.logging import get_logger
from secondread.program import Program
from secondread.rollout.splitters.edge_files import Status

_HOST = "127.0.0.1"  # it has no access control
_START_SECONDS = 60.0  # what was written last is read first
_POLL_SECONDS = 0.05
_AGAIN_SECONDS = 1.0  # between two starts of one that ends at once
_HEALTH_SECONDS = 5.0
_LISTENS = re.compile(r'msg="Listening on" .*address=\S+:(\d+)')
_ERROR = re.compile("level=error", re.IGNORECASE)
_TAKEN = "address already in use"  # in Prometheus's words
# Two would write into one folder without a word. So the Prometheus of an edge that was killed is waited for: it is just
# ending, and its port is free, too, when it has.
_ALONE = ("flock", "--verbose", "--no-fork", "--wait", "30")

log = get_logger(__name__)


class PrometheusProcess:
    """One Prometheus.

    Args:
        home: folder of everything written at run time; `<home>/prometheus/` is its own.
        targets: file that says what is read (`targets_of`); it is followed.
        config: port, and how often is read and how much is kept.
    Attributes:
        url: where it listens, once started.
    """

    def __init__(self, home: Path, targets: Path, config: PrometheusConfig) -> None:
        self.url = ""
        self._folder, self._targets, self._config = Path(home).absolute() / "prometheus", targets.absolute(), config
        self._port = config.port
        self._program = Program(self._folder / "prometheus.log", errors=_ERROR)

    def start(self, stopped: threading.Event) -> None:
        """Start it, and wait until it answers.

        Args:
            stopped: set where nobody waits any more.
        Raises:
            DependencyError: it is not installed or does not start, or its port is taken.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._spawn()
        while not self._ready():
            late = self._program.seconds > _START_SECONDS
            if not self._program.is_running or late or stopped.wait(_POLL_SECONDS):
                self.stop()
                raise DependencyError(self._why())

    def keep(self) -> None:
        """Start it again, on the same port, if it ended; returns before it answers."""
        if self._program.has_ended and self._program.seconds > _AGAIN_SECONDS:
            log.error("Prometheus ended by itself: starting it again. %s", self._program.last_line())
            self._spawn()

    def stop(self) -> None:
        """End it; what it has read is kept."""
        self._program.stop()

    def _spawn(self) -> None:
        configuration = self._folder / "prometheus.yml"
        write_json(configuration, scraping(self._targets, self._config))  # JSON is YAML
        command = [
            *_ALONE,
            str(self._folder / "lock"),
            str(prometheus_program()),
            f"--config.file={configuration}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--storage.tsdb.retention.time={self._config.retention_days}d",
            f"--storage.tsdb.retention.size={self._config.retention_mib}MB",
            f"--web.listen-address={_HOST}:{self._port}",
        ]
        self._program.start(command, environment={"GOMAXPROCS": "1"})  # one thread: the CPUs are the models'

    def _ready(self) -> bool:
        """Whether it, and no other on its port, answers what it is asked."""
        listens = _LISTENS.search(self._program.said())
        if not listens:
            return False
        self._port = int(listens[1])
        self.url = f"http://{_HOST}:{self._port}"
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=_HEALTH_SECONDS) as answer:  # noqa: S310 - ours
                return bool(answer.status == HTTPStatus.OK)
        except OSError:
            return False

    def _why(self) -> str:
        """Why it did not start, in one line."""
        said = self._program.last_line()
        if _TAKEN in said:
            where = f"{_HOST}:{self._config.port}"
            return f"Prometheus cannot listen on {where}: stop what uses it, or choose another --prometheus-port."
        return f"Prometheus did not start: {said}"


def prometheus_program() -> Path:
    """The program, on the path.

    Raises:
        DependencyError: it is not installed.
    """
    if found := shutil.which("prometheus"):
        return Path(found)
    raise DependencyError("Prometheus is not installed: `apt-get install prometheus`, or have it on the path.")


def scraping(targets: Path, config: PrometheusConfig) -> dict[str, Any]:
    """Its configuration: all that the file names is read, and keeps the labels that it has.

    The transformer's `name` and `version` stay as they are, since targets have no labels but `job` and `instance`. A
    server that is started again listens at another port, and so is another `instance`: no count of it goes back.
    """
    interval = f"{round(1000 * config.scrape_seconds)}ms"
    return {
        "global": {"scrape_interval": interval, "scrape_timeout": interval},
        "scrape_configs": [{"job_name": "secondread", "file_sd_configs": [{"files": [str(targets)]}]}],
    }


def targets_of(status: Status) -> list[dict[str, Any]]:
    """What there is to read of an edge, as Prometheus's file of targets: the servers that listen, and Envoy.

    Source: https://prometheus.io/docs/prometheus/2.53/configuration/configuration/#file_sd_config
    """
    servers = [each.url.removeprefix("http://") for each in status.servers.values() if each.url]
    envoy, _, path = status.metrics_url.removeprefix("http://").partition("/")
    return [
        {"targets": servers, "labels": {"job": "secondread"}},
        {"targets": [envoy], "labels": {"job": "envoy", "__metrics_path__": f"/{path}"}},
    ]
