"""Which TrainJob of the cluster works in a work folder, so that no two ever do.

Whoever waits for a TrainJob may be killed, or lose sight of the cluster, while its nodes train on. So the job's name is
in the work folder before the job is in the cluster, and the next run waits for that job instead of starting another.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from secondread.atomic import read_json, write_json
from secondread.errors import DependencyError
from secondread.logging import get_logger

NAME_FILE = "trainjob.json"
_POLL_SECONDS = 1.0
_GONE_SECONDS = 600.0  # a pod is given half a minute to end; one of a node that went away does not end by itself

log = get_logger(__name__)


def new_name(work: Path) -> str:
    """A name for the next job, noted in the work folder."""
    name = f"s{uuid.uuid4().hex[:11]}"
    write_json(work / NAME_FILE, {"name": name})
    return name


def job_left(client: Any, work: Path) -> str:
    """Name of the job that works in the folder, or has come to its result there; empty if there is none.

    One that failed, or that somebody deletes, is gone when this returns, and all its pods with it.

    Args:
        client: of the SDK, for a cluster.
        work: folder of the training.
    Raises:
        DependencyError: it does not go away.
        RuntimeError: the cluster does not answer.
    """
    if not (work / NAME_FILE).is_file():
        return ""
    name: str = read_json(work / NAME_FILE)["name"]
    job = _look_up(client, name)
    if job is None:
        return ""
    if not _has_failed(job) and "deletionTimestamp" not in job["metadata"]:
        log.info(
            "TrainJob %s, which an earlier run started, is waited for. Whoever deletes it has another started.", name
        )
        return name
    delete(client, name)
    deadline = time.monotonic() + _GONE_SECONDS
    while not is_gone(client, name):
        if time.monotonic() > deadline:
            raise DependencyError(
                f"TrainJob {name} does not go away, and another must not work beside it. Look at its pods, with the "
                f"label jobset.sigs.k8s.io/jobset-name={name}; of a node that is lost, delete them with --force."
            )
        time.sleep(_POLL_SECONDS)
    return ""


def is_gone(client: Any, name: str) -> bool:
    """Whether the cluster says that there is no such job; a cluster that does not answer says nothing."""
    with suppress(RuntimeError):
        return _look_up(client, name) is None
    return False


def delete(client: Any, name: str) -> None:
    """Have a job deleted: it is in the cluster until its last pod has ended.

    Raises:
        RuntimeError: the cluster does not answer.
    """
    with suppress(FileNotFoundError):
        _ask(client, "delete", name, propagation_policy="Foreground")


def _look_up(client: Any, name: str) -> Mapping[str, Any] | None:
    try:
        return _ask(client, "get", name)
    except FileNotFoundError:
        return None


def _ask(client: Any, verb: str, name: str, **how: str) -> Mapping[str, Any]:
    """What the SDK asks too, but tells nobody: whether there is no such job, and when it was deleted.

    Raises:
        FileNotFoundError: there is no such job.
        RuntimeError: the cluster does not answer.
    """
    from kubeflow.trainer.constants import constants
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    ask = getattr(client.backend.custom_api, f"{verb}_namespaced_custom_object")
    kind = (constants.GROUP, constants.VERSION, client.backend.namespace, constants.TRAINJOB_PLURAL)
    try:
        answer: Mapping[str, Any] = ask(*kind, name, _request_timeout=10, **how)
    except (ApiException, HTTPError) as error:
        if isinstance(error, ApiException) and error.status == 404:
            raise FileNotFoundError(name) from error
        raise RuntimeError(f"Failed to {verb} TrainJob: {name}") from error
    return answer


def _has_failed(job: Mapping[str, Any]) -> bool:
    conditions = job.get("status", {}).get("conditions", [])
    return any(condition["type"] == "Failed" and condition["status"] == "True" for condition in conditions)
