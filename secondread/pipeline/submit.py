"""Send a pipeline to a Kubeflow: upload it as a version of its own, start a run, and wait for its verdict if asked."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import kfp
import kfp_server_api
import urllib3

from secondread import __version__
from secondread.atomic import sha256_bytes
from secondread.errors import DependencyError, GateRefused, SecondReadError
from secondread.logging import get_logger
from secondread.pipeline.compile import compile_pipeline

POLL_SECONDS = 10.0
CONNECT_SECONDS = 10.0
FINISHED = frozenset({"SUCCEEDED", "FAILED", "SKIPPED", "CANCELED"})
LAST_STEP = "register"

log = get_logger(__name__)


@dataclass(frozen=True)
class Submitted:
    """A run that was started.

    Attributes:
        host: of Kubeflow Pipelines.
        pipeline_id, version_id, run_id: as Kubeflow names them.
        version: name of the pipeline version: the library's, and the hash of the YAML.
        url: the run's page.
    """

    host: str
    pipeline_id: str
    version_id: str
    run_id: str
    version: str
    url: str


def submit(
    name: str, arguments: Mapping[str, Any], *, host: str, experiment: str, namespace: str = "", token: str = ""
) -> Submitted:
    """Upload a pipeline version, unless the same bytes are there already, and start a run of it.

    Args:
        name: of the pipeline.
        arguments: its parameters.
        host: URL of Kubeflow Pipelines.
        experiment: that the run belongs to.
        namespace: of a multi-user Kubeflow.
        token: bearer token, where the host asks for one.
    Raises:
        DependencyError: the host does not answer, or refuses.
    """
    text = compile_pipeline(name)
    version = f"{__version__}-{sha256_bytes(text.encode())[:12]}"
    with _kfp_errors(host), tempfile.TemporaryDirectory() as folder:
        client = _client(host, namespace, token)
        path = Path(folder, f"{name}.yaml")
        path.write_text(text, encoding="utf-8")
        pipeline_id, version_id = _upload(client, path, f"secondread-{name}", version, namespace)
        found = client.create_experiment(name=experiment, namespace=namespace or None)
        job = f"{name} {datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
        run = client.run_pipeline(
            found.experiment_id, job, params=dict(arguments), pipeline_id=pipeline_id, version_id=version_id
        )
    url = f"{host.rstrip('/')}/#/runs/details/{run.run_id}"
    return Submitted(host, pipeline_id, version_id, run.run_id, version, url)


def wait(
    submitted: Submitted,
    *,
    token: str = "",
    namespace: str = "",
    pause: Callable[[float], object] = time.sleep,
) -> str:
    """Wait until a run ends and give its own verdict, which the cluster's green does not tell.

    A run whose gate said no ends as SUCCEEDED, with its last step skipped.

    Args:
        submitted: the run.
        token: bearer token, where the host asks for one.
        namespace: of a multi-user Kubeflow.
        pause: called with the seconds between two looks.
    Returns:
        `registered`.
    Raises:
        GateRefused: the run did not come to its last step.
        SecondReadError: the run failed or was cancelled.
        DependencyError: the host does not answer.
    """
    state = ""
    with _kfp_errors(submitted.host):
        client = _client(submitted.host, namespace, token)
        while True:
            run = client.get_run(submitted.run_id)
            if run.state != state:
                state = run.state
                log.info("run %s: %s", submitted.run_id, state)
            if state in FINISHED:
                return _verdict(run, submitted)
            pause(POLL_SECONDS)


def _verdict(run: Any, submitted: Submitted) -> str:
    """What a run that ended came to, from the states of its tasks."""
    tasks = (run.run_details.task_details if run.run_details else None) or []
    failed = sorted({task.display_name for task in tasks if task.state == "FAILED"})
    if run.state != "SUCCEEDED":
        where = f" in {', '.join(failed)}" if failed else ""
        message = run.error.message if run.error else "no message"
        raise SecondReadError(f"the run ended as {run.state}{where} ({message}). See {submitted.url}.")
    # a task that comes from the cache has a driver that succeeded and no pod of its own
    names = {LAST_STEP, f"{LAST_STEP}-driver"}
    if any(task.display_name in names and task.state == "SUCCEEDED" for task in tasks):
        return "registered"
    raise GateRefused(f"a gate said no, so nothing was registered. The evaluate steps say why: {submitted.url}.")


def _client(host: str, namespace: str, token: str) -> kfp.Client:
    # KFP's client asks a host that is down again and again for half a minute; a person waits for the answer
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    health = f"{host.rstrip('/')}/apis/v2beta1/healthz"
    urllib3.request("GET", health, headers=headers, timeout=CONNECT_SECONDS, retries=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # it says that the server must be of version 2
        return kfp.Client(host=host, namespace=namespace or "kubeflow", existing_token=token or None)


def _upload(client: kfp.Client, path: Path, pipeline: str, version: str, namespace: str) -> tuple[str, str]:
    """Ids of the pipeline and of its version, uploaded if they are not there."""
    pipeline_id = client.get_pipeline_id(pipeline)
    if pipeline_id is None:
        pipeline_id = client.upload_pipeline(str(path), pipeline, namespace=namespace or None).pipeline_id
    page = ""
    while True:
        found = client.list_pipeline_versions(pipeline_id, page_token=page, page_size=100)
        for item in found.pipeline_versions or []:
            if item.display_name == version:
                return pipeline_id, item.pipeline_version_id
        page = found.next_page_token or ""
        if not page:
            break
    uploaded = client.upload_pipeline_version(str(path), version, pipeline_id=pipeline_id)
    return pipeline_id, uploaded.pipeline_version_id


@contextlib.contextmanager
def _kfp_errors(host: str) -> Iterator[None]:
    """Say in one line what is wrong with the host; and keep KFP's own prints off stdout, which is for results."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except kfp_server_api.ApiException as error:
        reason = f"{error.status} {error.reason}"
        raise DependencyError(
            f"Kubeflow Pipelines at {host} refused ({reason}). Check the URL, namespace and token."
        ) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise DependencyError(
            f"Kubeflow Pipelines at {host} does not answer ({type(error).__name__}). Check the URL."
        ) from error
