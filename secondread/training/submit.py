"""Sends a training to a running Ray cluster, through its job server, and waits for its verdict.

This library's sources go along, so that the cluster trains with this very code; what they need (torch, Lightning, Ray)
is in the cluster's image. Whatever goes along can be read in the cluster's dashboard, so no secret does: keys and
passwords are in the environment of the cluster's pods.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import secondread
from secondread.config.require import require
from secondread.data.store.open import is_stored
from secondread.errors import DependencyError, GateRefused, InputError, SecondReadError
from secondread.logging import get_logger

_MLFLOW = "MLFLOW_TRACKING_URI"
_SECONDS_TO_ANSWER = 5.0
_POLL_SECONDS = 1.0
_UNANSWERED = 60  # polls in a row that may fail: the head may be busy
_ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
_ERRORS: dict[int, type[SecondReadError]] = {2: InputError, 3: DependencyError, 4: GateRefused}

log = get_logger(__name__)


@dataclass(frozen=True)
class Order:
    """What the cluster is to train.

    Attributes:
        data: dataset version, as the cluster sees it: a folder, or the URI of one in a store.
        output: model folder to write, on a volume of the cluster.
        name: of the model.
        settings: such as `train.epochs=12`.
        start: model folder to begin with, on the cluster; empty for none.
        resume: go on from what the same run left when it was cut.
    """

    data: str
    output: str
    name: str = "secondread"
    settings: Sequence[str] = ()
    start: str = ""
    resume: bool = True

    def __post_init__(self) -> None:
        for option, path in (("--output", self.output), ("--start", self.start), ("--data", self.data)):
            stored = option == "--data" and is_stored(path)
            require(
                not path or stored or path.startswith("/"),
                f"{option} {path} is no absolute path. Name a folder on a volume that all of the cluster mounts.",
            )
        strategy = [pair for pair in self.settings if pair.startswith("train.strategy=")]
        require(
            not strategy or strategy == ["train.strategy=ray"],
            f"--set {''.join(strategy)}: what is sent to a Ray cluster trains with strategy ray.",
        )

    @property
    def command(self) -> str:
        """The shell command that the cluster runs."""
        data, commands = self.data, []
        if is_stored(self.data):
            data = f"{self.output}.data"
            commands.append(["data", "fetch", self.data, data])
        train = ["train", "--data", data, "--output", self.output, "--name", self.name, "--json"]
        for pair in {"train.strategy=ray": None, **dict.fromkeys(self.settings)}:
            train += ["--set", pair]
        if self.start:
            train += ["--start", self.start]
        commands.append([*train, "--resume" if self.resume else "--fresh"])
        return " && ".join(shlex.join(["python", "-m", "secondread", *words]) for words in commands)


@dataclass(frozen=True)
class JobServer:
    """The job server of a running cluster.

    Attributes:
        address: its URL.
        client: Ray's.
    """

    address: str
    client: Any

    @classmethod
    def connect(cls, address: str) -> JobServer:
        """Look whether it answers.

        Raises:
            InputError: the address is no URL.
            DependencyError: it does not answer, or asks for another token.
        """
        parts = urlsplit(address)
        require(
            parts.scheme in ("http", "https") and bool(parts.hostname),
            f"--address {address} is no URL of a Ray job server. Name it as http://HEAD:8265.",
        )
        # the module through which nothing is reported to Ray's makers comes first
        from secondread.ray_cluster import ray

        os.environ["RAY_API_SERVER_ADDRESS"] = address  # which Ray would rather take than what it is told
        try:
            port = parts.port or (443 if parts.scheme == "https" else 80)
            socket.create_connection((str(parts.hostname), port), timeout=_SECONDS_TO_ANSWER).close()
            from ray.job_submission import JobSubmissionClient

            for name in ("ray", "ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk"):
                logging.getLogger(name).setLevel(logging.ERROR)
            return cls(address, JobSubmissionClient(address))
        except (OSError, RuntimeError, ray.exceptions.AuthenticationError) as error:
            reason = " ".join(str(error).split())[:300]
            raise DependencyError(
                f"the Ray job server at {address} does not answer ({reason}). Start it (`ray start --head`, with "
                "ray[default]), and set RAY_AUTH_MODE and RAY_AUTH_TOKEN if it asks for a token."
            ) from error

    def submit(self, order: Order, environment: Mapping[str, str]) -> str:
        """Send a training; gives the job's name.

        Args:
            order: what to train.
            environment: variables of this machine; those that the job needs, and that are no secret, go along.
        """
        runtime = {
            "py_modules": [str(Path(secondread.__file__).parent)],
            "excludes": ["__pycache__"],
            "env_vars": variables_for(order, environment),
        }
        try:
            name: str = self.client.submit_job(entrypoint=order.command, runtime_env=runtime)
        except RuntimeError as error:
            raise DependencyError(
                f"the Ray job server at {self.address} refused the job ({' '.join(str(error).split())[:300]})."
            ) from error
        return name

    def wait(self, name: str, show: Callable[[str], object]) -> dict[str, Any]:
        """Show the job's log until it ends; gives what `train --json` printed there.

        Args:
            name: of the job.
            show: takes new lines of the log.
        Raises:
            SecondReadError: of the class, and so with the exit code, that the job ended with.
            DependencyError: the job was stopped, or the job server was lost; the job goes on without being watched.
        """
        shown, info, logs = 0, None, ""
        while info is None or info.status not in _ENDED:
            if info is not None:
                time.sleep(_POLL_SECONDS)
            info = self._ask(lambda: self.client.get_job_info(name))
            logs = self._ask(lambda: self.client.get_job_logs(name))
            whole = info.status in ("FAILED", "STOPPED")
            end = len(logs) if whole else min(len(_told(logs)), logs.rfind("\n") + 1)
            if end > shown:
                show(logs[shown:end])
                shown = end
        if info.status == "SUCCEEDED":
            document: dict[str, Any] = json.JSONDecoder().raw_decode(logs, len(_told(logs)))[0]
            return document
        if info.status == "STOPPED":
            raise DependencyError(f"job {name} was stopped on the cluster. Sent again, it goes on from there.")
        kind = _ERRORS.get(info.driver_exit_code or 0, SecondReadError)
        raise kind(f"job {name} on the cluster failed: {_last_line(logs) or ' '.join(str(info.message).split())[:300]}")

    def _ask(self, question: Callable[[], Any]) -> Any:
        import requests

        for _ in range(_UNANSWERED):
            try:
                return question()
            except (requests.ConnectionError, RuntimeError) as error:
                reason = " ".join(str(error).split())[:200]
                time.sleep(_POLL_SECONDS)
        raise DependencyError(f"the Ray job server at {self.address} was lost ({reason}). The job may go on.")


def variables_for(order: Order, environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that go along with a job; anyone who sees the cluster's dashboard sees them.

    An MLflow in a file of this machine is none for the cluster, which writes its run down as if no address were set.

    Raises:
        InputError: MLflow's address has a password, a token for a name, or options, among which a password may be.
    """
    variables = {"SECONDREAD_HOME": str(Path(order.output).parent / "var")}
    for name in ("SECONDREAD_LOG", "SECONDREAD_REVISION", _MLFLOW):
        if environment.get(name):
            variables[name] = environment[name]
    uri = variables.get(_MLFLOW, "")
    if uri.startswith("sqlite:"):
        log.warning("%s names a file of this machine: the cluster writes its run down in its own MLflow", _MLFLOW)
        del variables[_MLFLOW]
    require(
        "@" not in uri and "?" not in uri,
        f"{_MLFLOW} has a name or password in it, or options, and everyone who sees the cluster's dashboard would see "
        "them. Unset it here, and set it in the environment of the cluster's pods.",
    )
    return variables


def _told(logs: str) -> str:
    """The log without the document at its end."""
    start = logs.rfind("\n{\n") + 1
    return logs[:start] if start or logs.startswith("{\n") else logs


def _last_line(logs: str) -> str:
    lines = [line.strip() for line in logs.splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (errors or lines or [""])[-1]
