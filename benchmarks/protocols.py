"""REST or gRPC: what a request costs in each protocol, on the wire, in time and of the server's processors.

    python -m benchmarks.protocols

starts `secondread serve` with the default preset at 64 px, asks it for ten minutes, and writes docs/protocols.md. A
page of its own and no figure of `make bench`: these are tables, and nothing is promised of them.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice, product
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks import protocols_page
from benchmarks.callers import (
    Caller,
    GrpcCaller,
    Load,
    grpc_load,
    load,
    v1_request,
    v2_json_request,
    v2_request,
)
from benchmarks.calls import Call, calls
from benchmarks.machine import commit, machine
from benchmarks.relay import Relay
from benchmarks.serve import fp32, setting
from benchmarks.servers import Server, our_server
from benchmarks.workplace import ROOT, Workplace
from secondread import logging
from secondread.config.environment import Environment
from secondread.errors import SecondReadError
from secondread.export.repository.layout import write_repository
from secondread.model.folder import ModelFolder

IMAGES = 64  # twice as many as the largest request has, so that each is in as many requests

log = logging.get_logger(__name__)


@dataclass(frozen=True)
class Protocol:
    """One way to ask.

    Attributes:
        name: in words.
        address: where the server takes it, host:port.
        caller: a client, by address.
        write: makes a request of some images, as that client takes it.
        load: puts load on a server: address, requests, number of callers and seconds by name.
    """

    name: str
    address: Callable[[Server], str]
    caller: Callable[[str], Any]
    write: Callable[[Sequence[bytes]], Any]
    load: Callable[..., Load]


def _rest(name: str, write: Callable[[Sequence[bytes]], Any]) -> Protocol:
    return Protocol(name, lambda server: server.address, Caller, write, load)


PROTOCOLS = (
    Protocol("V2, gRPC", lambda server: server.grpc_address, GrpcCaller, list, grpc_load),
    _rest("V2, REST, binary", v2_request),
    _rest("V2, REST, JSON", v2_json_request),
    _rest("V1, REST, JSON", v1_request),
)


@dataclass(frozen=True)
class Effort:
    """How much is asked.

    Attributes:
        batches: numbers of images in a request.
        rounds: in which every protocol has its turn with every number.
        seconds: of such a turn.
        saturating_batches: the same for a server that has more to do than it can.
        callers: who see to that.
        saturating_rounds, saturating_seconds: likewise.
        call_rounds, call_block: of calls that ask nothing.
    """

    batches: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    rounds: int = 8
    seconds: float = 2.0
    saturating_batches: tuple[int, ...] = (1, 8, 32)
    callers: int = 8
    saturating_rounds: int = 5
    saturating_seconds: float = 3.0
    call_rounds: int = 20
    call_block: int = 100


@dataclass
class Asked:
    """Requests of one protocol and size, one after the other.

    Attributes:
        protocol: its name.
        images: in a request.
        sent, received: bytes an image that TCP carries to the server and from it.
        seconds: of each request, from the images' bytes to the answer's last byte.
        cpu_seconds: of all the server's processes, for all of them.
    """

    protocol: str
    images: int
    sent: float
    received: float
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: float = 0.0


@dataclass(frozen=True)
class Saturated:
    """A server that has more to do than it can.

    Attributes:
        protocol: its name.
        images: in a request.
        cpu_ms: milliseconds of processor time an image, of all the server's processes.
        n: images that were read.
    """

    protocol: str
    images: int
    cpu_ms: float
    n: int


@dataclass(frozen=True)
class Measured:
    """Everything, as the page has it."""

    asked: Sequence[Asked]
    calls: Sequence[Call]
    saturated: Sequence[Saturated]


def measure(model: ModelFolder, images: Sequence[bytes], effort: Effort) -> Measured:
    """Start a server and measure.

    Args:
        model: to serve.
        images: encoded.
        effort: how much is asked.
    Raises:
        DependencyError: the server does not start, or a request failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        repository = write_repository(model, work / "models", name="secondread", version=1)
        with our_server(model, work) as server:
            asked = ask_each(server, images, effort)
            log.info("calls that ask nothing")
            rounds, block = effort.call_rounds, effort.call_block
            empty = calls(server, model, repository, images[0], home=work, rounds=rounds, block=block)
            return Measured(asked, empty, saturate(server, images, effort))


def ask_each(server: Server, images: Sequence[bytes], effort: Effort) -> list[Asked]:
    """One caller, and each protocol with each number of images by turns, so that a machine that drifts slows all."""
    cells = {
        (way, size): Asked(way.name, size, *wire(way, server, requests_of(images, size)))
        for way, size in product(PROTOCOLS, effort.batches)
    }
    callers = {way: way.caller(way.address(server)) for way in PROTOCOLS}
    for number in range(effort.rounds):
        log.info("round %d of %d, one caller", number + 1, effort.rounds)
        for (way, size), cell in cells.items():
            before = server.cpu_seconds()
            cell.seconds += _ask_for(effort.seconds, way, callers[way], requests_of(images, size))
            cell.cpu_seconds += server.cpu_seconds() - before
    for caller in callers.values():
        caller.close()
    return list(cells.values())


def wire(way: Protocol, server: Server, requests: Iterable[Sequence[bytes]]) -> tuple[float, float]:
    """Bytes an image that are sent and received, over a connection that is open already."""
    first, *rest = [list(each) for each in requests]
    with Relay(way.address(server)) as between:
        caller = way.caller(between.address)
        caller.ask(way.write(first))
        before = between.sent, between.received
        for each in (first, *rest):
            caller.ask(way.write(each))
        after = between.sent, between.received
        caller.close()
    count = len(first) * (1 + len(rest))
    return (after[0] - before[0]) / count, (after[1] - before[1]) / count


def requests_of(images: Sequence[bytes], size: int) -> list[list[bytes]]:
    """As many images a request as that, until each was in one; the last request is filled with the first images."""
    endless: Iterator[bytes] = cycle(images)
    return [list(islice(endless, size)) for _ in range(0, len(images), size)]


def _ask_for(seconds: float, way: Protocol, caller: Any, requests: Sequence[Sequence[bytes]]) -> list[float]:
    found: list[float] = []
    end = perf_counter() + seconds
    for request in cycle(requests):
        start = perf_counter()
        caller.ask(way.write(request))
        now = perf_counter()
        found.append(now - start)
        if now > end:
            return found
    return found


def saturate(server: Server, images: Sequence[bytes], effort: Effort) -> list[Saturated]:
    """Several callers at the same time, again by turns; the median over rounds."""
    cells = list(product(PROTOCOLS, effort.saturating_batches))
    requests = {(way, size): [way.write(each) for each in requests_of(images, size)] for way, size in cells}
    cpu_ms: dict[Any, list[float]] = {cell: [] for cell in cells}
    counts = dict.fromkeys(cells, 0)
    for number in range(effort.saturating_rounds):
        log.info("round %d of %d, %d callers", number + 1, effort.saturating_rounds, effort.callers)
        for cell in cells:
            way, size = cell
            before = server.cpu_seconds()
            done = way.load(
                way.address(server), requests[cell], callers=effort.callers, seconds=effort.saturating_seconds
            )
            count = len(done.seconds) * size
            cpu_ms[cell].append(1e3 * (server.cpu_seconds() - before) / count)
            counts[cell] += count
    return [Saturated(way.name, size, statistics.median(cpu_ms[way, size]), counts[way, size]) for way, size in cells]


def main() -> int:
    """Measure and write the page; gives the exit code."""
    logging.configure()
    place = Workplace(Environment.read().home / "bench")
    place.home.mkdir(parents=True, exist_ok=True)
    try:
        images, trained, effort = place.films.encoded(IMAGES), place.trained_served, Effort()
        where = f"{machine()}, load {os.getloadavg()[0]:.1f} before; commit `{commit(ROOT)}`"
        found = measure(fp32(trained), images, effort)
    except SecondReadError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    mean_kib = statistics.mean(map(len, images)) / 1024
    about = f"{where}; {setting(place, trained)}; a film has {mean_kib:.0f} KiB on average"
    protocols_page.write(found, about=about, callers=effort.callers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
