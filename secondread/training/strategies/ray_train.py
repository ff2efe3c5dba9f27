"""Ray Train: workers of a Ray cluster train together, and one that dies is replaced.

They do what the processes of DDP do, with the same batches in the same order. When a worker dies, Ray ends the others
and starts them all anew: they go on from the last checkpoint, which lies in the job's work folder. That folder and the
dataset's must be the same on every machine of the cluster. No signal reaches a worker: a file in the work folder asks
them all to write a checkpoint and end.
"""

from __future__ import annotations

import logging
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from logging.handlers import QueueHandler, QueueListener
from pathlib import Path
from typing import Any

from secondread.atomic import read_json
from secondread.config.environment import Environment
from secondread.config.require import require
from secondread.config.train import TrainConfig
from secondread.data.fingerprint import code_fingerprint
from secondread.errors import DependencyError, SecondReadError
from secondread.logging import ROOT, get_logger
from secondread.ray_cluster import installation, lost, other_code, ray, ray_cluster
from secondread.training.batches import Share
from secondread.training.fit import CHECKPOINTS, Fitted
from secondread.training.preflight import Machine, check_gpus, check_shared_memory
from secondread.training.stop import STOP_FILE
from secondread.training.strategies.interrupted import asked_first, stopped_by_sigterm
from secondread.training.strategies.job import ERROR_FILE, Job, error_from, leave_error, read_fitted
from secondread.training.strategies.worker import run
from secondread.training.trainer import TrainerParts

log = get_logger(__name__)

_STORAGE = "ray"  # folder in the job's work folder where Ray keeps its own record of the run
_SECONDS_TO_STOP = 20  # for the workers' last checkpoint; a pod that is told to end has 30
_SECONDS_TO_START = "600"  # that workers may take to come: an autoscaler starts pods first
# Ray Train's own settings, read where it starts
_SETTINGS = {
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": _SECONDS_TO_START,
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # paths mean the same here and there
}


@dataclass(frozen=True)
class _Order:
    """What a worker is told, besides the job.

    Attributes:
        job: as a mapping.
        installation: of the driver.
        code: the driver's `code_fingerprint`.
        lines: queue that log lines go to.
    """

    job: dict[str, Any]
    installation: str
    code: str
    lines: Any


def fit_with_ray(job: Job) -> Fitted:
    """Train with `processes` x `nodes` workers of the recipe's Ray cluster, or of one that is started for it.

    Args:
        job: what every worker is told; results and checkpoints go into its work folder.
    Raises:
        SecondReadError: the one that a worker raised.
        DependencyError: the cluster does not answer, or more than `max_failures` workers died.
    """
    config, work = job.train_config, Path(job.work)
    address = config.ray_address or Environment.read().ray_address
    # Ray's client (ray://) and its job server (http://) cannot train
    require(
        "://" not in address,
        f"ray_address is '{address}', which Ray Train cannot work through. Name host:port or auto on a machine of the "
        "cluster, or send the training there with `secondread train submit`.",
    )
    (work / ERROR_FILE).unlink(missing_ok=True)  # of an earlier try, as is Ray's record of it
    shutil.rmtree(work / _STORAGE, ignore_errors=True)
    stop = work / CHECKPOINTS / STOP_FILE
    stop.parent.mkdir(exist_ok=True)
    stop.unlink(missing_ok=True)
    with (
        stopped_by_sigterm(),  # and put back what was before it
        ray_cluster(address, instead="use the strategy 'ddp'", cpus=config.world_size),
        stopped_by_sigterm(),  # again: Ray comes with a handler of its own, which aborts
        asked_first(lambda: stop.write_text("SIGTERM", encoding="utf-8"), seconds=_SECONDS_TO_STOP),
        _log_lines() as lines,
    ):
        trouble = _train(_Order(asdict(job), installation(), code_fingerprint(), lines), config, work)
    if (work / ERROR_FILE).is_file():
        raise error_from(read_json(work / ERROR_FILE))
    if trouble is not None:
        raise _told(trouble, config) from trouble
    return read_fitted(work, processes=config.world_size)


def _train(order: _Order, config: TrainConfig, work: Path) -> Exception | None:
    """Run to the end; gives the error that Ray ended with, if any."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError

    logging.getLogger("ray.train").setLevel(logging.ERROR)
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    gpu = _on_gpus(config)
    failures = FailureConfig(
        max_failures=config.max_failures,
        controller_failure_limit=0,  # type: ignore[call-arg] # of Ray Train's second version
    )
    spread = "SPREAD" if config.nodes > 1 else "PACK"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Ray's use of names of its own
            _trainer_class()(
                _worker,
                train_loop_config={"order": order},
                scaling_config=ScalingConfig(num_workers=config.world_size, use_gpu=gpu, placement_strategy=spread),
                run_config=RunConfig(
                    name="train",
                    storage_path=str(work / _STORAGE),
                    failure_config=failures,
                    callbacks=[_end_on_error(work)],
                ),
            ).fit()
    except (ray.exceptions.RayError, TrainingFailedError) as error:
        return error
    return None


def _on_gpus(config: TrainConfig) -> bool:
    """Whether the workers take GPUs; says so where they have to wait for what they take."""
    workers, resources = config.world_size, ray.cluster_resources()  # type: ignore[no-untyped-call]
    gpu = config.accelerator == "gpu" or (config.accelerator == "auto" and resources.get("GPU", 0) >= workers)
    kind = "GPU" if gpu else "CPU"
    there = int(resources.get(kind, 0))
    if there < workers:
        log.warning(
            "the Ray cluster has %d %ss, and %d workers take one each: waiting up to %s s for more",
            *(there, kind, workers, os.environ["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"]),
        )
    return bool(gpu)


def _trainer_class() -> Any:
    from ray.train.torch import TorchTrainer

    class Trainer(TorchTrainer):
        """Leaves Ctrl-C to the caller: Ray's own handler would stay, and end the process without a word."""

        def _register_sigint_handler(self, controller: object) -> None:
            pass

    return Trainer


def _end_on_error(work: Path) -> Any:
    """A callback that ends the run where a worker raised an error of ours: trying again would not mend the input."""
    from ray.train import UserCallback

    class EndOnError(UserCallback):
        """Runs beside the driver, not in it."""

        def after_exception(self, run_context: Any, worker_exceptions: Any) -> None:  # noqa: ARG002
            """Raising here is what Ray Train does not try again after."""
            if (work / ERROR_FILE).is_file():
                raise error_from(read_json(work / ERROR_FILE))

    return EndOnError()


def _worker(settings: dict[str, Any]) -> None:
    """What each worker runs; Ray calls it again in every worker after one of them died."""
    from ray.train.lightning import RayDDPStrategy, RayLightningEnvironment

    order: _Order = settings["order"]
    job = Job(**order.job)
    work = Path(job.work)
    _send_log_lines(order.lines)
    context = ray.train.get_context()
    share = Share(rank=context.get_world_rank(), processes=context.get_world_size())
    try:
        _check(order, job, work)
        device = ray.train.torch.get_device().type
        parts = TrainerParts(
            strategy=RayDDPStrategy(),  # type: ignore[no-untyped-call]
            plugins=[RayLightningEnvironment()],  # type: ignore[no-untyped-call]
            accelerator=device,
            devices="auto" if device == "cpu" else 1,
            nodes=job.train_config.nodes,
        )
        run(job, share, parts)
    except SecondReadError as error:
        if work.is_dir():
            leave_error(error, work)
        raise


def _check(order: _Order, job: Job, work: Path) -> None:
    """Look at this machine of the cluster.

    Raises:
        DependencyError: it runs other code, lacks a GPU or shared memory, or does not see the folders.
    """
    if order.installation != installation() and order.code != code_fingerprint():
        raise other_code()
    for folder in (work, Path(job.dataset)):
        if not folder.is_dir():
            raise DependencyError(
                f"a machine of the Ray cluster does not see {folder}. Put data and output on a volume that every "
                "machine of the cluster mounts at the same place, and name a folder on it with train.storage."
            )
    machine, here = Machine.look(), ray.train.get_context().get_local_world_size()
    check_gpus(job.train_config, processes=1, gpus=machine.gpus, torch_build=machine.torch_build)
    if here > 1 and ray.train.torch.get_device().type == "cuda":
        check_shared_memory(machine.shared_memory, processes=here)


@contextmanager
def _log_lines() -> Iterator[Any]:
    """A queue through which the workers' own log lines come here; what Ray itself says stays in its files."""
    from ray.util.queue import Queue

    lines = Queue(actor_options={"num_cpus": 0})
    listener = QueueListener(lines, _PassOn())
    listener.start()
    try:
        yield lines
    finally:
        listener.stop()


class _PassOn(logging.Handler):
    """Gives a record to the logger that it is of, here."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass on."""
        logging.getLogger(record.name).handle(record)


def _send_log_lines(lines: Any) -> None:
    logger = logging.getLogger(ROOT)
    logger.handlers[:] = [QueueHandler(lines)]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def _told(error: Exception, config: TrainConfig) -> Exception:
    """What to raise for an error of Ray Train."""
    failures = getattr(error, "worker_failures", {})
    reasons = [getattr(failure, "health_check_failure", failure) for failure in failures.values()]
    died = [reason for reason in reasons if isinstance(reason, ray.exceptions.RayActorError)]
    if died:
        return DependencyError(
            f"workers of the Ray cluster died more than {config.max_failures} times (the last: {_exit_of(died[0])}). "
            "Look for what kills them, such as too little memory, and start the run again: it goes on from there."
        )
    if failures:
        return RuntimeError(f"a Ray worker failed: {next(iter(failures.values()))}")
    return lost(error)


def _exit_of(error: Exception) -> str:
    """What Ray says of the end of a worker, without its numbers and guesses."""
    text = " ".join(str(error).split())
    return text.rpartition("Worker exit detail: ")[2].partition(" Some common causes")[0][:200].rstrip(".")
