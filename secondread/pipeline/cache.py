"""KFP's local cache, made to be right: a hit whose artifact is gone, incomplete or changed is a miss.

It sees every step that may be cached start, be skipped or end, and so also tells what happened.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kfp import dsl
from kfp.local.cache import LocalCache

from secondread.config.environment import Environment
from secondread.errors import InputError, IntegrityError
from secondread.logging import get_logger
from secondread.pipeline.success import SUCCESS_FILE, verify_success

log = get_logger(__name__)


@dataclass(frozen=True)
class StepRun:
    """One step of a run that ended well.

    Attributes:
        name: such as `train` or `evaluate on val`.
        seconds: it took, with the start of its process.
        cached: it was not run, since nothing it depends on has changed.
        outputs: KFP's artifacts and values by name.
        facts: of its success manifest.
    """

    name: str
    seconds: float
    cached: bool
    outputs: dict[str, Any]
    facts: dict[str, Any]


class VerifiedCache(LocalCache):  # type: ignore[misc]  # KFP ships no types
    """A cache that checks success manifests.

    Args:
        cache_root: folder of the entries.
        on_start: told a step's name when it is looked up.
        on_end: told of a step that ended well.
        reuse: give hits at all.
    """

    def __init__(
        self,
        cache_root: str,
        *,
        on_start: Callable[[str], None],
        on_end: Callable[[StepRun], None],
        reuse: bool = True,
    ) -> None:
        super().__init__(cache_root)
        self._on_start, self._on_end, self._reuse = on_start, on_end, reuse
        self._started: dict[str, tuple[str, float]] = {}
        self.problem: Exception | None = None

    def compute_key(self, component_name: str, *args: Any, **kwargs: Any) -> str:
        """The key, as KFP makes it; every step comes by here first."""
        key = str(super().compute_key(component_name, *args, **kwargs))
        arguments = kwargs.get("arguments") or {}
        name = _step_name(component_name, arguments)
        self._started[key] = (name, time.monotonic())
        self._on_start(name)
        return key

    def get(self, key: str) -> dict[str, Any] | None:
        """The outputs of an earlier run of the step, if what they name is still whole."""
        outputs = super().get(key) if self._reuse else None
        if outputs is None:
            return None
        try:
            facts = _verify(outputs)
        except InputError as error:
            log.warning("%s: the cached result cannot be used, so it runs again: %s", self._started[key][0], error)
            return None
        self._report(key, outputs, facts, cached=True)
        return dict(outputs)

    def put(self, key: str, outputs: dict[str, Any]) -> None:
        """Keep the outputs of a step, unless it was no success whatever the runner says."""
        try:
            facts = _verify(outputs)
        except Exception as error:  # noqa: BLE001 - KFP would log it and go on: kept for the end of the run
            self.problem = self.problem or error
            return
        super().put(key, outputs)
        self._report(key, outputs, facts, cached=False)

    def _report(self, key: str, outputs: dict[str, Any], facts: dict[str, Any], *, cached: bool) -> None:
        name, start = self._started[key]
        self._on_end(StepRun(name, time.monotonic() - start, cached, outputs, facts))


def _step_name(component_name: str, arguments: dict[str, Any]) -> str:
    name = component_name.removeprefix("comp-").rstrip("-0123456789")
    return f"{name} on {arguments['split']}" if "split" in arguments else name


def _verify(outputs: dict[str, Any]) -> dict[str, Any]:
    """Facts of the one output that a step seals.

    Raises:
        IntegrityError: no output is sealed, or one is damaged.
    """
    artifacts = [value for value in outputs.values() if isinstance(value, dsl.Artifact)]
    sealed = [Path(artifact.path) for artifact in artifacts if Path(artifact.path, SUCCESS_FILE).is_file()]
    if len(sealed) != 1:
        places = ", ".join(artifact.path for artifact in artifacts)
        raise IntegrityError(f"no success manifest in {places}: the step did not finish, or its output was removed.")
    facts = verify_success(sealed[0], step=None)
    if facts.get("mlflow_run"):
        _verify_tracked(facts["mlflow_run"])
    return facts


def _verify_tracked(run_id: str) -> None:
    """Check that the run that trained a model is in the MLflow that is used now.

    Raises:
        IntegrityError: it was deleted, or another MLflow is used.
        DependencyError: MLflow does not answer.
    """
    from secondread.tracking.runs import has_run

    uri = Environment.read().mlflow_tracking_uri
    if not has_run(uri, run_id):
        raise IntegrityError(f"its run {run_id} is not in the MLflow that is set now.")
