"""Run a pipeline on this machine: the very object that is compiled for Kubeflow, through `kfp.local`."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
import uuid
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from kfp import dsl, local
from kfp.local import cache as kfp_cache
from kfp.local import config as kfp_config

from secondread.atomic import read_json
from secondread.errors import InputError, SecondReadError
from secondread.pipeline.cache import StepRun, VerifiedCache
from secondread.pipeline.compile import find_pipeline, uncached_tasks
from secondread.pipeline.orphan import RUNNER_VARIABLE
from secondread.pipeline.success import SUCCESS_FILE, failures, verify_success
from secondread.pipeline.view import RunView

RUN_VARIABLE = "SECONDREAD_PIPELINE_RUN"  # see `Environment`


def run_steps(name: str, arguments: Mapping[str, Any], *, home: Path, reuse: bool = True) -> dict[str, StepRun]:
    """Run a pipeline here.

    Args:
        name: of the pipeline.
        arguments: the pipeline's parameters.
        home: folder for runs, cache and log.
        reuse: take steps from the cache where nothing they depend on has changed.
    Returns:
        The steps that were come to, by name and in order. A gate that refuses ends the run, and is an answer.
    Raises:
        InputError: `home` cannot be written.
        SecondReadError: the error of the step that failed, with its exit code; what the step wrote before is kept, so
            that the next run goes on from there.
    """
    pipeline, uncached = find_pipeline(name), uncached_tasks(name)
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

    def on_end(step: StepRun) -> None:
        nonlocal ended
        ended = time.time()
        steps.append(step)
        view.end(step)

    def on_uncached_end() -> None:
        for step in _uncached(root, uncached, steps, since=ended):
            on_end(step)

    with RunView(log_path, uncached=uncached, on_end=on_uncached_end) as view:
        cache = VerifiedCache(str(home / "runs" / "cache"), on_start=view.start, on_end=on_end, reuse=reuse)
        with _runner(root, cache, home), _stop_children_on_signal(), contextlib.redirect_stdout(view):
            try:
                with contextlib.redirect_stderr(view):
                    pipeline(**arguments)
            except RuntimeError as error:
                raise _failure(root, log_path, str(error)) from error
        if cache.problem:
            raise cache.problem
        on_uncached_end()
    _remove_empty(root)
    return {step.name: step for step in steps}


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
    told = False

    def stop(_: int, __: FrameType | None) -> None:
        nonlocal told
        told = True
        # this exception alone leaves `with subprocess.Popen`, in which KFP runs a step, before the step has ended
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        if told:
            raise SystemExit(128 + signal.SIGTERM) from None
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _failure(root: Path, log_path: Path, message: str) -> SecondReadError:
    """The error of the step that failed, as that step wrote it down."""
    found = failures(root)
    if not found:
        return SecondReadError(f"a step ended without saying why ({message}). The whole log is in {log_path}.")
    bug = found[0].exit_code == SecondReadError.exit_code
    return found[0].error(f"The whole log is in {log_path}." if bug else "")


def _uncached(root: Path, components: Iterable[str], known: Sequence[StepRun], *, since: float) -> Iterator[StepRun]:
    """Steps that are never cached, have ended and are not known yet: KFP shows the cache none of them.

    Args:
        root: folder of the run.
        components: names of theirs.
        known: steps.
        since: when the step before ended, as seconds since the epoch.
    Raises:
        IntegrityError: one did not finish, whatever it says.
    """
    outputs = (output for step in known for output in step.outputs.values())
    before = {output.path for output in outputs if isinstance(output, dsl.Artifact)}
    folders = [folder for name in components for folder in root.glob(f"*/{name}/*/") if str(folder) not in before]
    ended = {folder: (folder / SUCCESS_FILE).stat().st_mtime for folder in folders if (folder / SUCCESS_FILE).is_file()}
    for folder in sorted(ended, key=ended.__getitem__):
        name, facts = read_json(folder / SUCCESS_FILE)["step"], verify_success(folder, step=None)
        written = {folder.name: dsl.Artifact(uri=str(folder))}
        yield StepRun(name, max(0.0, ended[folder] - since), cached=False, outputs=written, facts=facts)
        since = ended[folder]


def _remove_empty(root: Path) -> None:
    """Folders that KFP makes and leaves empty when every step came from the cache."""
    for path in sorted(root.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def seconds_of(steps: Mapping[str, StepRun]) -> dict[str, float]:
    """What each step took; 0 for a cached one."""
    return {step.name: 0.0 if step.cached else round(step.seconds, 2) for step in steps.values()}


def cached_of(steps: Mapping[str, StepRun]) -> tuple[str, ...]:
    """Names of the steps that were not run."""
    return tuple(step.name for step in steps.values() if step.cached)
