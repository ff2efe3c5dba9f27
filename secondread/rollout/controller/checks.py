"""The checks of a stage: load and the inference API's own rules, put to the candidate alone before it gets requests.

Each runs in a process of its own, beside the looks: a person's word is obeyed meanwhile.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondread.child import Child, answer
from secondread.config.loadtest import LoadTestConfig
from secondread.config.mapping import from_mapping
from secondread.config.rollout import CHECKS
from secondread.errors import DependencyError
from secondread.rollout.controller.controller import Checked
from secondread.rollout.splitters.splitter import Side

if TYPE_CHECKING:
    from secondread.tracking.registry import RegisteredVersion

LOAD_TEST, CONFORMANCE = CHECKS
PAGE_FILE = "loadtest.html"


class Check:
    """One check of one candidate; what a controller calls `Check`.

    Args:
        kind: LOAD_TEST or CONFORMANCE.
        folder: of the rollout; the check's own is in it.
        load_test: what a load test puts on the candidate; who is asked is put in.
        images: folder of images to send; empty: phantoms.
    """

    def __init__(self, kind: str, folder: Path, *, load_test: LoadTestConfig, images: str = "") -> None:
        self._kind, self._folder = kind, folder / "checks" / kind
        self._load_test, self._images = load_test, images
        self._running: Child | None = None

    def __call__(self, candidate: RegisteredVersion, side: Side) -> Checked | None:
        """See `Check` of the controller.

        Raises:
            DependencyError: the candidate cannot be asked, or does not answer; the next call tries again.
        """
        if self._running is None:
            self._running = Child(__name__, self._job(candidate, side), self._folder, environment={})
        if self._running.is_running():
            return None
        ended, self._running = self._running, None
        try:
            return Checked(**ended.result())
        except RuntimeError as error:
            raise DependencyError(f"the check ended by itself: look into {self._folder}/log.txt.") from error

    def stop(self) -> None:
        """End it, if it runs."""
        if self._running:
            self._running.stop()

    def _job(self, candidate: RegisteredVersion, side: Side) -> dict[str, Any]:
        if not side.url:
            raise DependencyError("nobody knows where the candidate alone can be asked, so that it cannot be checked.")
        load_test = replace(
            self._load_test,
            url=side.url,
            grpc_url=side.grpc_url,
            name=candidate.name,
            digest=candidate.digest,
            as_readings=False,  # or the version would drift by what it was tested with
        )
        return {
            "kind": self._kind,
            "version": candidate.version,
            "load_test": asdict(load_test),
            "images": self._images,
        }


def _run(job: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    config = from_mapping(LoadTestConfig, job["load_test"])
    images = Path(job["images"]) if job["images"] else None
    check = _load_test(config, images, folder) if job["kind"] == LOAD_TEST else _conformance(config, images, job)
    return asdict(check)


def _load_test(config: LoadTestConfig, images: Path | None, folder: Path) -> Checked:
    from secondread.serving.load.loadtest import loadtest

    result = loadtest(config, images=images, report=folder / PAGE_FILE)
    gate = result.gate(config)
    return Checked(gate.passed, "; ".join(gate.reasons))


def _conformance(config: LoadTestConfig, images: Path | None, job: Mapping[str, Any]) -> Checked:
    from secondread.serving.conformance import Expected, faults

    expected = Expected(config.name, job["version"], config.digest)
    found = faults(config.url, config.grpc_url, expected, images=images)
    return Checked(not found, "; ".join(found) or "answers as the inference API says, over REST and gRPC")


if __name__ == "__main__":
    sys.exit(answer(_run, sys.argv[1:]))
