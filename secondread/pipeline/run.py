"""Run a pipeline on this machine: the very object that is compiled for Kubeflow, through `kfp.local`."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
import uuid
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from kfp import local
from kfp.local import cache as kfp_cache
from kfp.local import config as kfp_config

from secondread.errors import InputError, SecondReadError
from secondread.evaluation.evaluate import REPORT_FILE
from secondread.pipeline.cache import StepRun, VerifiedCache
from secondread.pipeline.compile import LAST_STEP
from secondread.pipeline.orphan import RUNNER_VARIABLE
from secondread.pipeline.success import SUCCESS_FILE, failures, verify_success
from secondread.pipeline.view import RunView

RUN_VARIABLE = "SECONDREAD_PIPELINE_RUN"  # see `Environment`


@dataclass(frozen=True)
class RunResult:
    """What a run of the training pipeline gave; empty or None where it did not get that far.

    Attributes:
        status: `registered`, or `refused` by a gate.
        reason: what the last gate said.
        images: folder that ingest wrote.
        dataset_version: name of the dataset version.
        model: model folder of the chosen graph, else of training.
        report: page of the last evaluation.
        model_repository: what Triton loads.
        registered_version: number in the registry.
        mlflow_run: id of the run that trained the model.
        metrics: of the last evaluation: on test if it came to that.
        seconds: by step; 0 for a cached one.
        cached: names of the steps that were not run.
    """

    status: str
    reason: str
    images: str
    dataset_version: str
    model: str
    report: str
    model_repository: str
    registered_version: int | None
    mlflow_run: str
    metrics: Mapping[str, Any]
    seconds: Mapping[str, float]
    cached: tuple[str, ...]


def run_pipeline(pipeline: Any, arguments: Mapping[str, Any], *, home: Path, reuse: bool = True) -> RunResult:
    """Run the training pipeline here.

    Args:
        pipeline: as `secondread_pipelines` defines it.
        arguments: the pipeline's parameters.
        home: folder for runs, cache and log.
        reuse: take steps from the cache where nothing they depend on has changed.
    Returns:
        What came of it. A gate that refuses is an answer, with `status` `refused`.
    Raises:
        InputError: `home` cannot be written.
        SecondReadError: the error of the step that failed, with its exit code; what the step wrote before is kept, so
            that the next run goes on from there.
    """
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:6]}"
    root = home / "runs" / stamp
    try:
        root.mkdir(parents=True)
    except OSError as error:
        raise InputError(
            f"cannot write {root}: {error.strerror}. Set SECONDREAD_HOME to a folder that you may write to."
        ) from error
    log_path = root / "log.txt"
    steps: list[StepRun] = []
    ended = time.time()
    with RunView(log_path) as view:

        def on_end(step: StepRun) -> None:
            nonlocal ended
            ended = time.time()
            steps.append(step)
            view.end(step)

        cache = VerifiedCache(str(home / "runs" / "cache"), on_start=view.start, on_end=on_end, reuse=reuse)
        with _runner(root, cache, home), _stop_children_on_signal(), contextlib.redirect_stdout(view):
            try:
                with contextlib.redirect_stderr(view):
                    pipeline(**arguments)
            except RuntimeError as error:
                raise _failure(root, log_path, str(error)) from error
        if cache.problem:
            raise cache.problem
        for step in _last_step(root, since=ended):
            on_end(step)
    _remove_empty(root)
    return _result(steps)


@contextlib.contextmanager
def _runner(root: Path, cache: VerifiedCache, home: Path) -> Iterator[None]:
    """KFP's local runner, set up for one run and taken down again: its settings are global to the process."""
    settings = {RUNNER_VARIABLE: str(os.getpid()), RUN_VARIABLE: root.name, "SECONDREAD_HOME": str(home)}
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    workspace = root / "workspace"
    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=str(root),
        workspace_root=str(workspace),
        enable_caching=True,
        cache_root=cache.cache_root,
    )
    # KFP offers no way to hand it a cache of one's own; tests hold this
    kfp_cache._cache_singleton, kfp_cache._cache_singleton_root = cache, cache.cache_root
    try:
        with warnings.catch_warnings():
            # resources have no effect on one machine, and KFP warns of that at every step
            warnings.filterwarnings("ignore", message=".*have no effect in the current local runner.*")
            yield
    finally:
        kfp_config.LocalExecutionConfig.instance = None
        kfp_cache.reset_local_cache_singleton()
        shutil.rmtree(workspace, ignore_errors=True)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _stop_children_on_signal() -> Iterator[None]:
    """On SIGTERM end this process the way Ctrl-C does; its steps end with it."""

    def stop(signal_number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + signal_number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _failure(root: Path, log_path: Path, message: str) -> SecondReadError:
    """The error of the step that failed, as that step wrote it down."""
    found = failures(root)
    if not found:
        return SecondReadError(f"a step ended without saying why ({message}). The whole log is in {log_path}.")
    bug = found[0].exit_code == SecondReadError.exit_code
    return found[0].error(f"The whole log is in {log_path}." if bug else "")


def _last_step(root: Path, *, since: float) -> list[StepRun]:
    """The step that registers, if the run came to it. It is never cached, so KFP does not show it to the cache.

    Args:
        root: folder of the run.
        since: when the step before ended, as seconds since the epoch.
    Raises:
        IntegrityError: it did not finish, whatever the runner says.
    """
    steps = []
    for folder in root.glob(f"*/{LAST_STEP}/*/"):
        facts = verify_success(folder, step=LAST_STEP)
        seconds = max(0.0, (folder / SUCCESS_FILE).stat().st_mtime - since)
        steps.append(StepRun(LAST_STEP, seconds, cached=False, outputs={}, facts=facts))
    return steps


def _remove_empty(root: Path) -> None:
    """Folders that KFP makes and leaves empty when every step came from the cache."""
    for path in sorted(root.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def _result(steps: list[StepRun]) -> RunResult:
    by_name = {step.name: step for step in steps}
    judged = by_name.get("evaluate on test") or by_name.get("evaluate on val")
    if judged is None:
        raise SecondReadError("the pipeline ended without an evaluation, and without an error. Please report this.")
    made = by_name.get("quantize") or by_name["train"]
    registered = by_name[LAST_STEP].facts if LAST_STEP in by_name else {}
    if not registered and judged.facts["passed"]:
        raise SecondReadError("the gate said yes, but the pipeline did not go on. Please report this.")
    return RunResult(
        status="registered" if registered else "refused",
        reason="; ".join(judged.facts["reasons"]),
        images=by_name["ingest"].outputs["images"].path,
        dataset_version=by_name["preprocess"].facts["dataset_version"],
        model=made.outputs["quantized" if made.name == "quantize" else "model"].path,
        report=str(Path(judged.outputs["evaluation"].path) / REPORT_FILE),
        model_repository=registered.get("storage_uri", ""),
        registered_version=registered.get("version"),
        mlflow_run=by_name["train"].facts["mlflow_run"],
        metrics=judged.facts["metrics"],
        seconds={step.name: 0.0 if step.cached else round(step.seconds, 2) for step in steps},
        cached=tuple(step.name for step in steps if step.cached),
    )
