"""A model served on this machine for as long as something needs it: `serve`, in a process of its own."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from secondread.atomic import read_json, write_json
from secondread.child import Child, answer
from secondread.config.serve import ServeConfig
from secondread.errors import DependencyError
from secondread.serving.serve import serve
from secondread.serving.server import Endpoints

_READY_FILE = "ready.json"
_POLL_SECONDS = 0.05


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
    ready = folder / _READY_FILE
    ready.unlink(missing_ok=True)
    job = {"repository": str(repository.absolute()), "name": name, "trusted": str(trusted.absolute())}
    child = Child(__name__, job, folder, environment={})
    try:
        while not ready.is_file():  # serve itself gives up on a Triton that does not start
            if child.wait(_POLL_SECONDS):
                child.result()
                raise DependencyError(f"the server of {repository} was asked to end before it listened.")
        yield Endpoints(**read_json(ready))
    finally:
        child.stop()


def _serve(job: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    serve(
        Path(job["repository"]),
        ServeConfig(name=job["name"], http_port=0, grpc_port=0),
        home=folder,
        trusted=Path(job["trusted"]),
        on_ready=lambda endpoints: write_json(folder / _READY_FILE, asdict(endpoints)),
    )
    return {}


if __name__ == "__main__":
    sys.exit(answer(_serve, sys.argv[1:]))
