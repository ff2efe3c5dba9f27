"""Runs REST, in an event loop, and gRPC, in threads: starts both, says when they listen, drains both when told to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import uvicorn

from secondread.config.serve import ServeConfig
from secondread.config.trace import TraceSettings
from secondread.errors import DependencyError, InputError
from secondread.export.repository.layout import model_names, read_repository
from secondread.export.repository.signing import verify_folder
from secondread.logging import ROOT, get_logger
from secondread.serving.front.access import Access
from secondread.serving.front.grpc_service import create_server
from secondread.serving.front.http_protocol import bounded_connections
from secondread.serving.front.openapi import ServedPaths
from secondread.serving.front.rest import create_app
from secondread.serving.observe.observed import Observer
from secondread.serving.observe.observers import ObservedApp, ObservedCalls
from secondread.serving.transformer.transformer import Transformer
from secondread.serving.transformer.versions import Served, ServedVersion

if TYPE_CHECKING:
    from secondread.serving.observe.tracing import Tracing

log = get_logger(__name__)


@dataclass(frozen=True)
class Endpoints:
    """Where a server listens.

    Attributes:
        url: of REST, such as http://127.0.0.1:8080.
        grpc_url: host:port of gRPC.
    """

    url: str
    grpc_url: str


class _Server(uvicorn.Server):
    """Uvicorn without its signal handlers, which re-raise the signal and end the process before Triton is stopped."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def run_transformer(
    repository: Path,
    predictor_address: str,
    config: ServeConfig,
    *,
    trusted: Path,
    tracing: Tracing | None = None,
    on_listening: Callable[[Endpoints], None],
) -> None:
    """Serve a model of a Triton that runs, until SIGINT or SIGTERM, then finish what is in flight.

    Args:
        repository: folder whose `config.json` says what is served; all of it is verified before a port is opened.
        predictor_address: host:port of Triton's HTTP service.
        config: name, ports and limits.
        trusted: public key, or folder of such keys, whose signature the repository must have.
        tracing: makes spans, and is closed at the end; None: there are none.
        on_listening: called once both ports are open; readiness is a matter of /v2/health/ready.
    Raises:
        InputError: there is no public key.
        IntegrityError: the folder holds no such model, is not signed by a trusted key, or is not what was signed.
        DependencyError: a port is taken.
    """
    logging.getLogger(ROOT).setLevel(config.log_level.upper())
    models = [read_repository(repository, name) for name in model_names(repository, config.name)]
    key = verify_folder(repository, trusted)
    log.info("%s is what key %s signed", repository, key.name)
    version = ServedVersion([Served.at(predictor_address, model, config) for model in models])
    run(Transformer(version, config), config, tracing=tracing, on_listening=on_listening)


def run(
    transformer: Transformer,
    config: ServeConfig,
    *,
    tracing: Tracing | None = None,
    on_listening: Callable[[Endpoints], None],
) -> None:
    """Answer over REST and gRPC until SIGINT or SIGTERM, then finish what is in flight, and close the transformer.

    Args:
        transformer: that answers.
        config: ports and limits.
        tracing: makes spans, and is closed at the end; None: there are none.
        on_listening: called once both ports are open; readiness is a matter of /v2/health/ready.
    Raises:
        DependencyError: a port is taken.
    """
    # The SDK and uvicorn log every request, twice, and with what a client wrote; their errors go where ours go.
    for name in ("kserve", "uvicorn", "opentelemetry"):
        foreign = logging.getLogger(name)
        foreign.setLevel(logging.WARNING)
        foreign.handlers[:] = logging.getLogger(ROOT).handlers
    asyncio.run(_run(transformer, config, tracing, on_listening))


def open_tracing(settings: TraceSettings) -> Tracing | None:
    """What makes spans, where it is said where to; nothing is imported otherwise.

    Raises:
        DependencyError: OpenTelemetry is not installed.
        InputError: it cannot be set up as it is told.
    """
    if not settings.endpoint:
        return None
    if settings.protocol not in ("", "http/protobuf"):
        raise InputError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL is '{settings.protocol}', but traces go out as http/protobuf: set that, and "
            "the collector's port for it, usually 4318."
        )
    try:
        from secondread.serving.observe.tracing import Tracing

        return Tracing()
    except ModuleNotFoundError as error:
        raise DependencyError(
            f"OTEL_EXPORTER_OTLP_ENDPOINT asks for traces, which need the package '{error.name}': "
            "pip install 'secondread[trace]', or unset it."
        ) from error
    except (ValueError, OSError) as error:
        raise InputError(f"OpenTelemetry cannot be set up by its variables OTEL_* ({error}): correct them.") from error


async def _run(
    transformer: Transformer,
    config: ServeConfig,
    tracing: Tracing | None,
    on_listening: Callable[[Endpoints], None],
) -> None:
    access = Access(config.token_file)
    observer = Observer(log_requests=config.log_requests, tracing=tracing)
    stop = _stop_signal()
    try:
        with _bind(config.host, config.http_port, "--http-port") as listener:
            grpc_server, grpc_port = _grpc_server(transformer, access, config, observer)
            paths = ServedPaths(transformer.versions)
            app = ObservedApp(create_app(transformer, access, config), observer, paths)
            http_server = _Server(_uvicorn_config(app, config, observer))
            http_task = asyncio.create_task(http_server.serve(sockets=[listener]))
            grpc_server.start()
            on_listening(_endpoints(config, listener, grpc_port))
            await asyncio.wait([http_task, asyncio.create_task(stop.wait())], return_when=asyncio.FIRST_COMPLETED)
            log.info("stopping: finishing the requests in flight")
            http_server.should_exit = True
            drained = grpc_server.stop(config.drain_seconds)
            await http_task
            await asyncio.get_running_loop().run_in_executor(None, drained.wait)
    finally:
        transformer.close()
        if tracing is not None:
            tracing.close()


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def check_ports(config: ServeConfig) -> None:
    """Say at once that a port is taken, before Triton was started for nothing.

    Raises:
        DependencyError: one of the two is taken.
    """
    _bind(config.host, config.http_port, "--http-port").close()
    _bind(config.host, config.grpc_port, "--grpc-port").close()


def _bind(host: str, port: int, option: str) -> socket.socket:
    # asyncio turns Nagle's algorithm off only for sockets that name their protocol. With it on, a client that sends
    # head and body apart waits 40 ms for every answer.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
        return listener
    except OSError as error:
        listener.close()
        raise _taken(host, port, option, error) from error


def _grpc_server(
    transformer: Transformer, access: Access, config: ServeConfig, observer: Observer
) -> tuple[grpc.Server, int]:
    try:
        return create_server(transformer, access, config, interceptors=[ObservedCalls(observer)])
    except RuntimeError as error:
        raise _taken(config.host, config.grpc_port, "--grpc-port", error) from error


def _taken(host: str, port: int, option: str, error: Exception) -> DependencyError:
    return DependencyError(f"cannot listen on {host}:{port} ({error}): stop what uses it, or choose another {option}.")


def _uvicorn_config(app: ObservedApp, config: ServeConfig, observer: Observer) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=bounded_connections(
            head_seconds=config.head_timeout_seconds,
            answer_seconds=config.body_timeout_seconds,
            refused=observer.refused,
        ),
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        # Longer than a proxy's idle time, else it reuses a connection that is just being closed.
        timeout_keep_alive=75,
        timeout_graceful_shutdown=round(config.drain_seconds),
    )


def _endpoints(config: ServeConfig, listener: socket.socket, grpc_port: int) -> Endpoints:
    host = "127.0.0.1" if config.host in ("0.0.0.0", "::") else config.host  # noqa: S104 - compared, not bound
    return Endpoints(f"http://{host}:{listener.getsockname()[1]}", f"{host}:{grpc_port}")
