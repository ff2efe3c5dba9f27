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

import grpc
import uvicorn
from fastapi import FastAPI

from secondread.config.serve import ServeConfig
from secondread.errors import DependencyError
from secondread.export.repository import model_names, read_repository
from secondread.export.signing import verify_folder
from secondread.logging import ROOT, get_logger
from secondread.serving.access import Access
from secondread.serving.grpc_service import create_server
from secondread.serving.http_protocol import bounded_heads
from secondread.serving.rest import create_app
from secondread.serving.transformer import Transformer
from secondread.serving.versions import Served, ServedVersion

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
    on_listening: Callable[[Endpoints], None],
) -> None:
    """Serve a model of a Triton that runs, until SIGINT or SIGTERM, then finish what is in flight.

    Args:
        repository: folder whose `config.json` says what is served; all of it is verified before a port is opened.
        predictor_address: host:port of Triton's HTTP service.
        config: name, ports and limits.
        trusted: public key, or folder of such keys, whose signature the repository must have.
        on_listening: called once both ports are open; readiness is a matter of /v2/health/ready.
    Raises:
        InputError: there is no public key.
        IntegrityError: the folder holds no such model, is not signed by a trusted key, or is not what was signed.
        DependencyError: a port is taken.
    """
    models = [read_repository(repository, name) for name in model_names(repository, config.name)]
    key = verify_folder(repository, trusted)
    log.info("%s is what key %s signed", repository, key.name)
    version = ServedVersion([Served.at(predictor_address, model, config) for model in models])
    run(Transformer(version, config), config, on_listening=on_listening)


def run(transformer: Transformer, config: ServeConfig, *, on_listening: Callable[[Endpoints], None]) -> None:
    """Answer over REST and gRPC until SIGINT or SIGTERM, then finish what is in flight, and close the transformer.

    Args:
        transformer: that answers.
        config: ports and limits.
        on_listening: called once both ports are open; readiness is a matter of /v2/health/ready.
    Raises:
        DependencyError: a port is taken.
    """
    # The SDK and uvicorn log every request, twice, and metrics count them; their errors go where ours go.
    for name in ("kserve", "uvicorn"):
        foreign = logging.getLogger(name)
        foreign.setLevel(logging.WARNING)
        foreign.handlers[:] = logging.getLogger(ROOT).handlers
    asyncio.run(_run(transformer, config, on_listening))


async def _run(transformer: Transformer, config: ServeConfig, on_listening: Callable[[Endpoints], None]) -> None:
    access = Access(config.token_file)
    stop = _stop_signal()
    try:
        with _bind(config.host, config.http_port, "--http-port") as listener:
            grpc_server, grpc_port = _grpc_server(transformer, access, config)
            http_server = _Server(_uvicorn_config(create_app(transformer, access, config), config))
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


def _grpc_server(transformer: Transformer, access: Access, config: ServeConfig) -> tuple[grpc.Server, int]:
    try:
        return create_server(transformer, access, config)
    except RuntimeError as error:
        raise _taken(config.host, config.grpc_port, "--grpc-port", error) from error


def _taken(host: str, port: int, option: str, error: Exception) -> DependencyError:
    return DependencyError(f"cannot listen on {host}:{port} ({error}): stop what uses it, or choose another {option}.")


def _uvicorn_config(app: FastAPI, config: ServeConfig) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=bounded_heads(config.head_timeout_seconds),
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
