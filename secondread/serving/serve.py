"""A model served on this machine: the local Triton, and the transformer in front of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from secondread.config.serve import ServeConfig
from secondread.export.repository import read_repository
from secondread.logging import get_logger
from secondread.serving.server import Endpoints, check_ports, run_transformer
from secondread.serving.triton import LocalTriton

log = get_logger(__name__)


def serve(
    repository: Path,
    config: ServeConfig,
    *,
    home: Path,
    triton_environment: Path | None = None,
    on_ready: Callable[[Endpoints], None] | None = None,
) -> None:
    """Serve a model until SIGINT or SIGTERM; then finish what is in flight and stop Triton.

    Args:
        repository: `<root>/<name>/<digest>`, as `register` wrote it.
        config: name, ports, threads and limits.
        home: folder for Triton's log, `<home>/serving/`.
        triton_environment: the local Triton's virtual environment; `.venv-triton` by default.
        on_ready: called once images are answered; says where, in case ports were left open.
    Raises:
        InputError: the repository is on another machine.
        IntegrityError: the folder holds no such model, or its graph is not the one that was registered.
        DependencyError: Triton is not installed or does not start, or a port is taken.
    """
    # Before Triton starts: a wrong name or a taken port is quick to say.
    model = read_repository(repository, config.name)
    check_ports(config)

    def ready(endpoints: Endpoints) -> None:
        if on_ready:
            on_ready(endpoints)
        log.info(
            "serving %s version %s (digest %s) on %s and gRPC %s",
            model.name,
            model.version,
            model.digest[:12],
            endpoints.url,
            endpoints.grpc_url,
        )

    with LocalTriton(
        repository,
        home=home,
        environment=triton_environment,
        threads=config.threads,
        start_timeout_seconds=config.start_timeout_seconds,
    ) as triton:
        run_transformer(repository, triton.grpc_address, config, on_listening=ready)
