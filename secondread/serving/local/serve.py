"""A model served on this machine: the local Triton, and the transformer in front of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from secondread.config.serve import ServeConfig
from secondread.config.trace import TraceSettings
from secondread.cpus import cpu_limit
from secondread.export.repository.layout import GRAPH_FILE, read_repository
from secondread.export.repository.signing import verify_folder
from secondread.logging import ROOT, get_logger
from secondread.serving.front.server import Endpoints, check_ports, open_tracing, run
from secondread.serving.local.follow import Follow, Follower, on_triton
from secondread.serving.local.private_repository import PrivateRepository
from secondread.serving.local.run_threads import threads_of_a_run
from secondread.serving.local.triton import LocalTriton
from secondread.serving.transformer.transformer import Transformer

log = get_logger(__name__)


def serve(
    repository: Path,
    config: ServeConfig,
    *,
    home: Path,
    trusted: Path,
    trace: TraceSettings | None = None,
    triton_environment: Path | None = None,
    on_ready: Callable[[Endpoints], None] | None = None,
    follow: Follow | None = None,
) -> None:
    """Serve a model until SIGINT or SIGTERM; then finish what is in flight and stop Triton.

    Args:
        repository: `<root>/<name>/<digest>`, as `register` wrote it.
        config: name, ports, threads and limits.
        home: folder for Triton's log and its copy of the model, `<home>/serving/`.
        trusted: public key, or folder of such keys, whose signature the repository must have.
        trace: where traces go; None: nowhere.
        triton_environment: the local Triton's virtual environment; `.venv-triton` by default.
        on_ready: called once images are answered; says where, in case ports were left open.
        follow: which version is to be served later on; by default this one, to the end.
    Raises:
        InputError: the repository is on another machine, or there is no public key.
        IntegrityError: the folder holds no such model, is not signed by a trusted key, or is not what was signed.
        DependencyError: Triton is not installed or does not start, a port is taken, or traces need what is not there.
    """
    logging.getLogger(ROOT).setLevel(config.log_level.upper())
    # Before Triton starts: a wrong name or a taken port is quick to say.
    tracing = open_tracing(trace or TraceSettings())
    model = read_repository(repository, config.name)
    check_ports(config)
    verify_folder(repository, trusted)

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

    graph = repository / model.name / model.version / GRAPH_FILE
    with PrivateRepository.below(home, config.name, trusted) as private:
        models = private.add(repository)
        with LocalTriton(
            private.folder,
            home=home,
            environment=triton_environment,
            threads=config.threads or threads_of_a_run(graph, cpu_limit()),
            start_timeout_seconds=config.start_timeout_seconds,
        ) as triton:
            transformer = Transformer(on_triton(triton, models, config), config)
            follower = Follower(follow, transformer, triton, private, config, trusted) if follow else None
            with follower.following() if follower else nullcontext():
                run(transformer, config, tracing=tracing, on_listening=ready)
