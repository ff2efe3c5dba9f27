"""What does the work of ingest, preprocess and batch. It changes how long they take, and nothing that they write."""

from __future__ import annotations

from dataclasses import dataclass

from secondread.config.require import require

ENGINES = ("local", "ray")


@dataclass(frozen=True)
class EngineConfig:
    """What does the work of ingest, preprocess and batch."""

    engine: str = "local"  # `local`: threads of this process; `ray`: worker processes of Ray Data, on any machines
    # of a running cluster, `host:port` or `auto`; empty: one is started on this machine, and ended with the run
    ray_address: str = ""

    def __post_init__(self) -> None:
        require(self.engine in ENGINES, f"engine must be {' or '.join(ENGINES)}, not '{self.engine}'.")
        # Ray's client (ray://) and its job server (http://) know nothing of Ray Data
        require(
            self.engine == "local" or "://" not in self.ray_address,
            f"ray_address is '{self.ray_address}', which Ray Data cannot work through. Start the command on a machine "
            "of the cluster, such as with `ray job submit`, and name host:port or auto.",
        )
