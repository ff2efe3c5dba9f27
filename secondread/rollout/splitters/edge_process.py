"""The edge in a process of its own: whoever starts it may do other things, and ends it by ending."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from secondread.atomic import read_json, write_json
from secondread.child import Child, answer
from secondread.config.mapping import from_mapping
from secondread.config.prometheus import PrometheusConfig
from secondread.config.serve import ServeConfig
from secondread.errors import DependencyError
from secondread.rollout.splitters.edge import Edge
from secondread.rollout.splitters.edge_files import Deployed, Status

_READY_FILE = "ready.json"
_POLL_SECONDS = 0.05


class EdgeProcess(Child):
    """Such a process; see `Edge`.

    Args:
        home: folder of everything written at run time.
        config: model's name, address and ports for clients, and the limits of each server.
        trusted: public key, or folder of such keys, whose signature every repository must have.
        stable: version to begin with; what was wanted before goes first.
        metrics_port: of Envoy's figures.
        prometheus: how the edge's own one reads the servers; None for none.
    """

    module: ClassVar[str] = __name__  # that the process runs

    def __init__(
        self,
        home: Path,
        config: ServeConfig,
        *,
        trusted: Path,
        stable: Deployed | None = None,
        metrics_port: int = 0,
        prometheus: PrometheusConfig | None = None,
    ) -> None:
        folder = Path(home).absolute() / "edge" / "process"
        self._ready = folder / _READY_FILE
        self._ready.unlink(missing_ok=True)
        job = {
            "home": str(Path(home).absolute()),
            "config": asdict(config),
            "trusted": str(trusted.absolute()),
            "stable": asdict(stable) if stable else None,
            "metrics_port": metrics_port,
            "prometheus": asdict(prometheus) if prometheus else None,
        }
        super().__init__(self.module, job, folder, environment={})

    def wait_until_ready(self) -> Status:
        """Wait until the stable version answers; gives where.

        Raises:
            SecondReadError: why the edge ended.
        """
        while not self._ready.is_file():
            if self.wait(_POLL_SECONDS):
                self.result()
                raise DependencyError("the edge was asked to end before it listened.")
        return Status(**read_json(self._ready))


def run(job: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Do what the process is told; see `answer`."""
    config = from_mapping(ServeConfig, job["config"], stage="serve")
    prometheus = from_mapping(PrometheusConfig, job["prometheus"], stage="prometheus") if job["prometheus"] else None
    edge = Edge(
        Path(job["home"]),
        config,
        trusted=Path(job["trusted"]),
        metrics_port=job["metrics_port"],
        prometheus=prometheus,
    )
    stable = Deployed(**job["stable"]) if job["stable"] else None
    edge.run(stable, on_ready=lambda status: write_json(folder / _READY_FILE, asdict(status) | {"servers": {}}))
    return {}


if __name__ == "__main__":
    sys.exit(answer(run, sys.argv[1:]))
