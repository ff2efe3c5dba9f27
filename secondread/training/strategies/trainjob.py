"""Kubeflow Trainer: nodes of a cluster train together, as one TrainJob.

A TrainJob returns neither results nor the reason of a failure. Both come through the job's work folder, which every
node mounts, as does the machine that submits: it writes the job there, waits, and reads what the processes left.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from secondread.atomic import read_json
from secondread.config.environment import Environment
from secondread.config.train import TrainConfig
from secondread.config.trainjob import TrainJobSettings
from secondread.errors import DependencyError, InputError, StoppedError
from secondread.logging import get_logger
from secondread.training.fit import Fitted
from secondread.training.strategies.interrupted import stopped_by_sigterm
from secondread.training.strategies.job import ERROR_FILE, RESULT_FILE, Job, error_from, read_fitted
from secondread.training.strategies.trainjob_left import delete, is_gone, job_left, new_name
from secondread.training.strategies.trainjob_node import LOG_FILE, PID_FILE

_NODE = "secondread.training.strategies.trainjob_node"
_CONTAINER = "node"  # of Kubeflow's runtimes, in the replicated job of the same name
_POLL_SECONDS = 1
_UNANSWERED = 300  # polls in a row that may fail: the training goes on while the API server is restarted

log = get_logger(__name__)


def fit_with_trainjob(job: Job, settings: TrainJobSettings | None = None) -> Fitted:
    """Train with `processes` processes on each of `nodes` nodes.

    A job that an earlier run started, and that still trains or is done, is waited for; another is started only when the
    one before is gone.

    Args:
        job: what every process is told; results and checkpoints go into its work folder.
        settings: of the cluster; None: those of the environment.
    Raises:
        SecondReadError: the one that a process raised.
        DependencyError: the cluster does not answer, the job failed more than `max_failures` times, or was deleted.
        InputError: the nodes would not see the data or the work folder.
    """
    settings = settings or Environment.read().trainjob
    config, work = job.train_config, Path(job.work)
    _check(job, settings)
    job_file = job.write()
    with stopped_by_sigterm():
        client = _client(settings)
        for failures in range(config.max_failures + 1):
            with _in_one_line(settings):
                name, status = _run(client, job_file, config, settings)
            if status == "Complete":
                fitted = _result(name, work, config)
                if settings.backend != "local":
                    with suppress(RuntimeError):  # it is in nobody's way
                        delete(client, name)
                return fitted
            error = error_from(read_json(work / ERROR_FILE)) if (work / ERROR_FILE).is_file() else None
            if error and not isinstance(error, StoppedError):  # a node that was drained stops its processes
                raise error
            if failures < config.max_failures:
                log.warning("TrainJob %s failed: starting another, which goes on from the last checkpoint", name)
    raise DependencyError(f"TrainJob {name} failed, as did {config.max_failures} before it. {_last_line(work)}")


def _check(job: Job, settings: TrainJobSettings) -> None:
    if settings.backend == "local":
        if job.train_config.nodes > 1:
            raise InputError("on this machine alone a TrainJob has one node. Set train.nodes=1.")
        return
    if not (settings.image and settings.claim):
        raise InputError(
            "a TrainJob needs SECONDREAD_TRAINJOB_IMAGE, an image with secondread, and SECONDREAD_TRAINJOB_CLAIM, a "
            "PersistentVolumeClaim that this machine mounts too. SECONDREAD_TRAINJOB_BACKEND=local tries it out here."
        )
    for path in (job.work, job.dataset, *([job.start] if job.start else [])):
        if not Path(path).is_relative_to(settings.mount):
            raise InputError(
                f"{path} is not below {settings.mount}, where the nodes mount the claim {settings.claim}. Put data and "
                "train.storage there, or set SECONDREAD_TRAINJOB_MOUNT."
            )


def _client(settings: TrainJobSettings) -> Any:
    """The SDK's client."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the SDK's use of names that pydantic will drop
            from kubeflow.trainer import KubernetesBackendConfig, LocalProcessBackendConfig, TrainerClient
    except ImportError as error:
        raise DependencyError(
            f"strategy 'trainjob' needs the package '{error.name}'. Install secondread[kubeflow]."
        ) from error
    if settings.backend == "local":
        return TrainerClient(backend_config=LocalProcessBackendConfig())
    logging.getLogger("kubeflow").setLevel(logging.ERROR)
    with _in_one_line(settings):
        return TrainerClient(backend_config=KubernetesBackendConfig(namespace=settings.namespace or None))


@contextmanager
def _in_one_line(settings: TrainJobSettings) -> Iterator[None]:
    """Make one line of what the SDK raises."""
    from kubernetes.config import ConfigException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except (ConfigException, HTTPError, TimeoutError, RuntimeError) as error:
        reason = " ".join(f"{error} {error.__cause__ or ''}".split())[:300]
        raise DependencyError(
            f"Kubeflow Trainer does not answer ({reason}). Look at the kubeconfig, at the permission to create "
            f"trainjobs, and whether the runtime '{settings.runtime}' is installed."
        ) from error


def _run(client: Any, job_file: Path, config: TrainConfig, settings: TrainJobSettings) -> tuple[str, str]:
    """Run a TrainJob to its end; gives its name and `Complete` or `Failed`."""
    if settings.backend == "local":
        return _run_here(client, job_file)
    name = job_left(client, job_file.parent)
    if not name:
        _forget(job_file.parent)
        name = start_on_cluster(client, job_file, config, settings)
        log.info("TrainJob %s", name)
    try:
        return name, _wait(client, name, show=_shown(job_file.with_name(LOG_FILE)))
    except KeyboardInterrupt:
        with suppress(RuntimeError):  # then the next run finds it
            delete(client, name)
        raise


def _run_here(client: Any, job_file: Path) -> tuple[str, str]:
    """The same with processes of this machine, which end with this one."""
    before = Path.cwd()
    _forget(job_file.parent)
    name = _start_here(client, job_file)
    log.info("TrainJob %s", name)
    try:
        return name, _wait(client, name, show=_shown(job_file.with_name(LOG_FILE)))
    except KeyboardInterrupt:
        _end(job_file.with_name(PID_FILE))
        client.delete_job(name)
        raise
    finally:
        # the SDK's thread works in a folder of its own, which makes that the folder of the whole process
        for thread in threading.enumerate():
            if thread.name == f"{name}-train":
                thread.join()
        os.chdir(before)


def _wait(client: Any, name: str, *, show: Callable[[], None]) -> str:
    """`Complete` or `Failed`.

    Raises:
        DependencyError: somebody deleted the job.
        RuntimeError, TimeoutError: the cluster does not answer for minutes.
    """
    status, unanswered = "", 0
    while status not in ("Complete", "Failed"):
        time.sleep(_POLL_SECONDS)
        try:
            status, unanswered = client.get_job(name).status, 0
        except (RuntimeError, TimeoutError) as error:
            if is_gone(client, name):
                raise DependencyError(
                    f"TrainJob {name} was deleted. The same command, run again, goes on from the last checkpoint."
                ) from error
            unanswered += 1
            if unanswered > _UNANSWERED:
                raise
        show()
    return status


def _start_here(client: Any, job_file: Path) -> str:
    from kubeflow.trainer import CustomTrainer

    runtime = client.get_runtime("torch-distributed")
    runtime.trainer.framework = "python"  # else the SDK calls torchrun, and installs torch for it
    command = [sys.executable, "-m", _NODE, str(job_file), str(os.getpid())]
    trainer = CustomTrainer(
        func=_become, func_args={"command": command, "folder": str(Path.cwd())}, env=dict(os.environ)
    )
    name: str = client.train(runtime=runtime, trainer=trainer)
    return name


def _become(settings):  # type: ignore[no-untyped-def]
    """What the SDK copies into a file and runs with a bare Python: it becomes the node's real process."""
    import os

    os.chdir(settings["folder"])
    os.execv(  # noqa: S606 - no shell is wanted
        settings["command"][0], settings["command"]
    )


def start_on_cluster(client: Any, job_file: Path, config: TrainConfig, settings: TrainJobSettings) -> str:
    """Create the TrainJob; gives its name, which is in the work folder before.

    Args:
        client: of the SDK.
        job_file: on the volume that all nodes mount.
        config: recipe, with the number of nodes and processes.
        settings: of the cluster.
    """
    from kubeflow.trainer import CustomTrainerContainer
    from kubeflow.trainer.options import Name, TrainerCommand

    resources: dict[str, Any] = {"cpu": settings.cpu, "memory": settings.memory}
    if config.accelerator != "cpu" and (settings.gpu or config.accelerator == "gpu"):
        resources[settings.gpu or "nvidia.com/gpu"] = config.processes
    trainer = CustomTrainerContainer(
        image=settings.image,
        num_nodes=config.nodes,
        resources_per_node=resources,
        env={"SECONDREAD_LOG": "json"} if Environment.read().log_json else None,
    )
    name = new_name(job_file.parent)
    command = TrainerCommand(["python", "-m", _NODE, str(job_file)])
    client.train(runtime=settings.runtime, trainer=trainer, options=[Name(name), command, _pod_patch(settings)])
    return name


def _pod_patch(settings: TrainJobSettings) -> Any:
    """What the nodes' pods have besides what the runtime gives them: the volume, shared memory, and no privileges."""
    from kubeflow.trainer import options

    node = options.ContainerPatch(
        name=_CONTAINER,
        volume_mounts=[
            {"name": "data", "mountPath": settings.mount},
            {"name": "shared-memory", "mountPath": "/dev/shm"},  # noqa: S108 - where NCCL and RCCL look
        ],
        security_context={"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    )
    pod = options.PodSpecPatch(
        volumes=[
            {"name": "data", "persistentVolumeClaim": {"claimName": settings.claim}},
            {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": settings.shared_memory}},
        ],
        containers=[node],
        node_selector=dict(settings.node_labels) or None,
        security_context={"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    )
    template = options.JobTemplatePatch(spec=options.JobSpecPatch(template=options.PodTemplatePatch(spec=pod)))
    jobs = options.JobSetSpecPatch(replicated_jobs=[options.ReplicatedJobPatch(name=_CONTAINER, template=template)])
    return options.RuntimePatch(options.TrainingRuntimeSpecPatch(template=options.JobSetTemplatePatch(spec=jobs)))


def _forget(work: Path) -> None:
    """Take away what an earlier try left, checkpoints aside, so that no old result is taken for this one's."""
    for name in (ERROR_FILE, RESULT_FILE, LOG_FILE, PID_FILE):
        (work / name).unlink(missing_ok=True)
    for digest in work.glob("weights-*.sha256"):
        digest.unlink()


def _result(name: str, work: Path, config: TrainConfig) -> Fitted:
    try:
        return read_fitted(work, processes=config.world_size)
    except FileNotFoundError as error:
        raise DependencyError(
            f"TrainJob {name} is complete, but {error.filename} is not there. Let its nodes and this machine mount the "
            "same volume at the same place."
        ) from error


def _shown(path: Path) -> Callable[[], None]:
    """A function that passes on what has been added to a log since it was called last."""
    position = 0

    def show() -> None:
        nonlocal position
        if path.is_file():
            with path.open(encoding="utf-8") as file:
                file.seek(position)
                sys.stderr.write(file.read())
                position = file.tell()

    return show


def _last_line(work: Path) -> str:
    lines = (work / LOG_FILE).read_text(encoding="utf-8").split("\n") if (work / LOG_FILE).is_file() else []
    said = [line.strip() for line in lines if line.strip()][-1:]
    return f"It said last: {said[0][:300]}" if said else "Its nodes said nothing: look at its events and pods."


def _end(pid_file: Path) -> None:
    """Ask the node's process on this machine to end; the SDK would only end the shell that started it."""
    if pid_file.is_file():
        with suppress(ProcessLookupError):
            os.kill(int(pid_file.read_text(encoding="utf-8")), signal.SIGTERM)
