"""Under load: who kills a part gets refusals and cut connections, never a wrong answer, and soon answers again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil

from secondread.model.session import Outputs
from secondread.serving.local.triton import _free_ports
from tests.serving.steady_load import CUT, Load

BACK_SECONDS = 10.0  # promised


def test_triton_is_killed_under_load(
    start: Callable[..., Any],
    stop: Callable[[Any], int],
    film: Callable[..., bytes],
    expected: Callable[..., Outputs],
    wait_until: Callable[..., None],
) -> None:
    server = start()
    try:
        with Load(server, film(1)) as load:
            for _ in range(2):
                begun = time.monotonic()
                wait_until(lambda: load.answered_since(begun), seconds=30, what="answers")  # noqa: B023
                (triton,) = psutil.Process(server.process.pid).children()
                assert triton.name() == "tritonserver"
                killed = time.monotonic()
                triton.kill()
                triton.wait(10)
                wait_until(lambda: load.answered_since(time.monotonic() - 0.2), seconds=60, what="answers again")
                assert time.monotonic() - killed < BACK_SECONDS
    finally:
        assert stop(server) == 0
    assert not load.broken
    assert {each.status for each in load.answers} == {"200", "OK", "503", "UNAVAILABLE"}
    assert all(each.good or int(each.retry_after) > 0 for each in load.answers)
    assert_right(load, expected(film(1)))
    assert "Traceback" not in server.log.read_text()


def test_a_transformer_is_killed_under_load_with_its_triton_and_another_one_takes_its_ports(
    start: Callable[..., Any],
    stop: Callable[[Any], int],
    film: Callable[..., bytes],
    expected: Callable[..., Outputs],
    wait_until: Callable[..., None],
) -> None:
    """Connections are cut or refused at once, and nobody waits for an answer that does not come.

    And nothing is left that would hold the memory, or answer for a model that nobody watches.
    """
    http_port, grpc_port = _free_ports(2)
    server = start(http_port=http_port, grpc_port=grpc_port)
    try:
        with Load(server, film(1)) as load:
            begun = time.monotonic()
            wait_until(lambda: load.answered_since(begun), seconds=30, what="answers")
            (triton,) = psutil.Process(server.process.pid).children()
            server.process.kill()
            server.process.wait()
            killed = time.monotonic()
            wait_until(lambda: {CUT, "UNAVAILABLE"} <= after(load, killed), seconds=10, what="both to be told")
            wait_until(lambda: not is_alive(triton), seconds=20, what="the end of its Triton")
            server = start(http_port=http_port, grpc_port=grpc_port)
            back = time.monotonic()
            wait_until(lambda: load.answered_since(back), seconds=30, what="answers again")
    finally:
        assert stop(server) == 0
    assert not load.broken
    assert after(load, 0) == {"200", "OK", CUT, "UNAVAILABLE"}
    assert max(each.seconds for each in load.answers if not each.good) < BACK_SECONDS
    assert_right(load, expected(film(1)))


def is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def after(load: Load, moment: float) -> set[str]:
    """Statuses of what ended after a moment."""
    return {each.status for each in list(load.answers) if each.at > moment}


def assert_right(load: Load, bare: Outputs) -> None:
    """Whatever was answered is what onnxruntime alone says."""
    for each in load.answers:
        if each.good:
            np.testing.assert_allclose(each.probabilities, bare.probabilities[0], atol=1e-6)
