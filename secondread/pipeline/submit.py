"""Send a pipeline to a Kubeflow: upload it as a version of its own, start a run, and wait for its verdict if asked."""

from __future__ import annotations

import contextlib
import json
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
from secondread.pipeline.compile import LAST_STEPS, TrainingVolume, compile_pipeline, last_step
from secondread.pipeline.success import Failure

POLL_SECONDS = 10.0
# looks in a row that may fail while a run is waited for: 5 minutes, in which an ingress, a node or a server comes
# back; a run takes hours, and does not end because nobody can see it
FAILED_LOOKS = 30
CONNECT_SECONDS = 10.0
FINISHED = frozenset({"SUCCEEDED", "FAILED", "SKIPPED", "CANCELED"})

log = get_logger(__name__)


@dataclass(frozen=True)
class Submitted:
    """A run that was started.

    Attributes:
        name: of the pipeline.
        host: of Kubeflow Pipelines.
        pipeline_id, version_id, run_id: as Kubeflow names them.
        version: name of the pipeline version: the library's, and the hash of the YAML.
        last_step: that a run that no gate refused comes to.
        url: the run's page.
    """

    name: str
    host: str
    pipeline_id: str
    version_id: str
    run_id: str
    version: str
    last_step: str
    url: str


def submit(
    name: str,
    arguments: Mapping[str, Any],
    *,
    host: str,
    experiment: str,
    namespace: str = "",
    token: str = "",
    reuse: bool = True,
    volume: TrainingVolume | None = None,
) -> Submitted:
    """Upload a pipeline version, unless the same bytes are there already, and start a run of it.

    Args:
        name: of the pipeline.
        arguments: its parameters.
        host: URL of Kubeflow Pipelines.
        experiment: that the run belongs to.
        namespace: of a multi-user Kubeflow.
        token: bearer token, where the host asks for one.
        reuse: let Kubeflow take steps from its cache; if not, the pipeline goes up as a version that has none.
        volume: that the train step mounts; with one it goes up as a version of its own too.
    Raises:
        DependencyError: the host does not answer, or refuses.
    """
    text = compile_pipeline(name, caching=reuse, volume=volume)
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
    last = last_step(name, arguments)
    return Submitted(name, host, pipeline_id, version_id, run.run_id, version, last, url)


def wait(
    submitted: Submitted,
    *,
    token: str = "",
    namespace: str = "",
    pause: Callable[[float], object] = time.sleep,
) -> str:
    """Wait until a run ends and give its own verdict, which the cluster's green does not tell.

    A run whose gate said no ends as SUCCEEDED, with its last step skipped. A step that failed said why, with its exit
    code, to Kubernetes (see `success`): it is in the message of the step's pod, which Kubeflow gives out with a run's
    workflow. A run that ended without a word was ended from outside (no memory, no node, no image, someone who
    cancelled it) and counts as a dependency that failed.

    Args:
        submitted: the run.
        token: bearer token, where the host asks for one.
        namespace: of a multi-user Kubeflow.
        pause: called with the seconds between two looks.
    Returns:
        `registered`, `published` of the data pipeline, `promoted` of one that deploys, or `delivered` of the scoring
        one.
    Raises:
        GateRefused: the run did not come to its last step.
        SecondReadError: a step failed; the kind of error, and so the exit code, is the step's own.
        DependencyError: the run was cancelled, or failed without saying why; or the host refuses, or has not answered
            for minutes. Such a run goes on.
    """
    state, failed = "", 0
    while True:
        try:
            with _kfp_errors(submitted.host):
                run = _client(submitted.host, namespace, token).get_run(submitted.run_id)
        except DependencyError as error:
            failed += 1
            if failed == FAILED_LOOKS or not _may_pass(error.__cause__):
                raise
            log.warning("%s Looking again.", error)
            pause(POLL_SECONDS)
            continue
        failed = 0
        if run.state != state:
            state = run.state
            log.info("run %s: %s", submitted.run_id, state)
        if state in FINISHED:
            with _kfp_errors(submitted.host):
                return _verdict(run, submitted, token)
        pause(POLL_SECONDS)


def _may_pass(error: BaseException | None) -> bool:
    """Whether what went wrong may be gone in a minute: no answer, or an answer that says so."""
    return not isinstance(error, kfp_server_api.ApiException) or error.status >= 500 or error.status in (408, 429)


def _verdict(run: Any, submitted: Submitted, token: str) -> str:
    """What a run that ended came to, from the states of its tasks."""
    tasks = (run.run_details.task_details if run.run_details else None) or []
    if run.state != "SUCCEEDED":
        raise _failure(run, tasks, submitted, token)
    # a task that comes from the cache has a driver that succeeded and no pod of its own
    ended = {task.display_name.removesuffix("-driver") for task in tasks if task.state == "SUCCEEDED"}
    verdicts = {
        "train": ("registered", "evaluate steps say"),
        "retrain": ("registered", "evaluate and compare steps say"),
        "data": ("published", "audit says"),
        "deploy": ("promoted", "timeline of the rollout says"),
        "batch-score": ("delivered", "page of the score step says"),
    }
    let_in = submitted.last_step == LAST_STEPS["deploy"] and LAST_STEPS[submitted.name] in ended
    done, judges = verdicts["deploy" if let_in else submitted.name]
    if submitted.last_step in ended:
        return done
    raise GateRefused(f"a gate said no, so nothing was {done}. The {judges} why: {submitted.url}.")


def _failure(run: Any, tasks: list[Any], submitted: Submitted, token: str) -> SecondReadError:
    """The error of the step that failed, else what little is known."""
    hint = f"See {submitted.url}."
    messages = [each.error.message for each in (run, *tasks) if each.error and each.error.message]
    if run.state == "FAILED":
        for text in (*messages, *_node_messages(submitted, token)):
            if failure := Failure.reported(text):
                return failure.error(hint)
    failed = sorted({task.display_name for task in tasks if task.state == "FAILED"})
    where = f" in {', '.join(failed)}" if failed else ""
    return DependencyError(f"the run ended as {run.state}{where} ({messages[0] if messages else 'no message'}). {hint}")


def _node_messages(submitted: Submitted, token: str) -> list[str]:
    """What the pods of a run said when they ended, the first one first; nothing where the host does not tell.

    The API of version 2 gives states alone; version 1, which the same servers answer, has Argo's whole workflow.
    """
    url = f"{submitted.host.rstrip('/')}/apis/v1beta1/runs/{submitted.run_id}"
    answer = urllib3.request("GET", url, headers=_headers(token), timeout=CONNECT_SECONDS, retries=False)
    try:
        runtime = json.loads(answer.data)["pipeline_runtime"]
        nodes = json.loads(runtime["workflow_manifest"])["status"]["nodes"].values()
        ended = sorted(nodes, key=lambda node: str(node.get("finishedAt") or ""))
        return [str(node["message"]) for node in ended if node.get("message")]
    except (ValueError, KeyError, TypeError, AttributeError):
        log.info("the host does not tell what the run's pods said")
        return []


def _headers(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


def _client(host: str, namespace: str, token: str) -> kfp.Client:
    # KFP's client asks a host that is down again and again for half a minute; a person waits for the answer
    health = f"{host.rstrip('/')}/apis/v2beta1/healthz"
    urllib3.request("GET", health, headers=_headers(token), timeout=CONNECT_SECONDS, retries=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # it says that the server must be of version 2
        return kfp.Client(host=host, namespace=namespace or "kubeflow", existing_token=token or None)


def _upload(client: kfp.Client, path: Path, pipeline: str, version: str, namespace: str) -> tuple[str, str]:
    """Ids of the pipeline and of its version, uploaded if they are not there."""
    # not `get_pipeline_id`, which asks for what is nobody's alone
    named = {"key": "display_name", "operation": "EQUALS", "stringValue": pipeline}
    known = client.list_pipelines(filter=json.dumps({"predicates": [named]}), namespace=namespace or None).pipelines
    found = known[0] if known else client.upload_pipeline(str(path), pipeline, namespace=namespace or None)
    pipeline_id = found.pipeline_id
    page = ""
    while True:
        listed = client.list_pipeline_versions(pipeline_id, page_token=page, page_size=100)
        for item in listed.pipeline_versions or []:
            if item.display_name == version:
                return pipeline_id, item.pipeline_version_id
        page = listed.next_page_token or ""
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
