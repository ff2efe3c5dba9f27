"""A model served on this machine for as long as something needs it: `serve`, in a process of its own."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from secondread.atomic import read_json, write_json
from secondread.child import Child, answer
from secondread.config.environment import Environment
from secondread.config.mapping import from_mapping
from secondread.config.serve import ServeConfig
from secondread.errors import DependencyError, IntegrityError
from secondread.export.repository.layout import read_repository
from secondread.export.repository.opened import opened_repository
from secondread.serving.front.server import Endpoints
from secondread.serving.local.serve import serve

_READY_FILE = "ready.json"
_POLL_SECONDS = 0.05


class LocalServer(Child):
    """The process of such a server, from the moment on when it was started; it ends with this one.

    Args:
        storage_uri: of a repository, as `register` wrote it.
        config: name and limits; the ports are free ones.
        trusted: public key, or folder of such keys, whose signature it must have.
        folder: for its own and Triton's logs.
        digest: that the repository must have; empty: any.
    """

    module: ClassVar[str] = __name__  # that the process runs

    def __init__(self, storage_uri: str, config: ServeConfig, *, trusted: Path, folder: Path, digest: str = "") -> None:
        self._ready = folder / _READY_FILE
        self._ready.unlink(missing_ok=True)
        free = asdict(config) | {"http_port": 0, "grpc_port": 0}
        job = {"repository": storage_uri, "config": free, "trusted": str(trusted.absolute()), "digest": digest}
        super().__init__(self.module, job, folder, environment={})

    def endpoints(self) -> Endpoints | None:
        """Where it listens; None as long as it does not."""
        return Endpoints(**read_json(self._ready)) if self._ready.is_file() else None


@contextlib.contextmanager
def local_server(repository: Path, *, name: str, trusted: Path, folder: Path) -> Iterator[Endpoints]:
    """Serve a model on free ports of this machine, and stop it in the end.

    Args:
        repository: as `register` wrote it.
        name: of the model in it.
        trusted: public key, or folder of such keys, whose signature it must have.
        folder: for the server's and Triton's logs.
    Raises:
        As `serve`.
    """
    child = LocalServer(str(repository.absolute()), ServeConfig(name=name), trusted=trusted, folder=folder)
    try:
        while (endpoints := child.endpoints()) is None:  # serve itself gives up on a Triton that does not start
            if child.wait(_POLL_SECONDS):
                child.result()
                raise DependencyError(f"the server of {repository} was asked to end before it listened.")
        yield endpoints
    finally:
        child.stop()


def run(job: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Do what the process is told; see `answer`."""
    environment = Environment.read()
    config = from_mapping(ServeConfig, job["config"], stage="serve")
    with opened_repository(job["repository"], environment) as repository:
        found = read_repository(repository, config.name).digest
        if job["digest"] not in ("", found):
            raise IntegrityError(
                f"{job['repository']} holds the model {found[:12]}, not {job['digest'][:12]} as the registry says. "
                "Register the model again."
            )
        serve(
            repository,
            config,
            home=folder,
            trusted=Path(job["trusted"]),
            trace=environment.trace,
            on_ready=lambda endpoints: write_json(folder / _READY_FILE, asdict(endpoints)),
        )
    return {}


if __name__ == "__main__":
    sys.exit(answer(run, sys.argv[1:]))
