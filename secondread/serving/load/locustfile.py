"""Users of the inference API for locust: real image bytes, over REST with the binary extension and over gRPC.

`secondread loadtest` runs this file; so does `locust -f tests/load/locustfile.py --host http://127.0.0.1:8080`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from functools import lru_cache
from itertools import cycle
from pathlib import Path
from typing import Any

import grpc.experimental.gevent as grpc_gevent
import numpy as np
from locust import FastHttpUser, LoadTestShape, User, constant, events, poisson, task
from tritonclient import grpc as triton

from secondread.serving.load.setting import ANSWER_SECONDS, LoadSetting, encoded_images
from secondread.serving.load.shape import users_at
from secondread.serving.load.times import TimesWriter
from secondread.serving.protocol import contract

# locust has patched the standard library for gevent; gRPC's own threads would block it without this.
grpc_gevent.init_gevent()

SETTING = LoadSetting.from_environment()
CONFIG = SETTING.config
PARAMETERS = {contract.TEST: not CONFIG.as_readings}
THINK = poisson(1 / CONFIG.think_seconds) if CONFIG.think_seconds else constant(0)


class RestUser(FastHttpUser):
    """Sends one image a request over REST, with the binary extension."""

    wait_time = THINK
    connection_timeout = network_timeout = ANSWER_SECONDS
    insecure = False  # locust's own default is to ask nobody for a certificate, and the token goes to whoever answers

    @task
    def infer(self) -> None:
        """Ask for one reading."""
        headers, body = next(_rest_bodies())
        path = f"/v2/models/{CONFIG.name}/infer"
        with self.client.post(
            path,
            data=body,  # type: ignore[arg-type]
            headers={**headers, **SETTING.headers},
            name="infer",
            catch_response=True,
        ) as response:
            if response.status_code == 0:
                response.failure(f"no answer: {getattr(response, 'error', None) or 'the connection broke'}")
            elif response.status_code != 200:
                response.failure(f"{response.status_code} {response.text}")
            elif b'"label"' not in response.content:
                response.failure("the answer has no label")
            elif CONFIG.digest.encode() not in response.content:
                response.failure(_OTHER_MODEL)


class GrpcUser(User):
    """Sends one image a request over gRPC, on a channel of its own."""

    wait_time = THINK

    def on_start(self) -> None:
        """Take a channel. Users that share one would wait for each other."""
        self._client = _idle.pop() if _idle else _channel()

    @task
    def infer(self) -> None:
        """Ask for one reading."""
        tensor, failure, started = next(_grpc_inputs()), None, time.perf_counter()
        try:
            result = self._client.infer(
                CONFIG.name,
                [tensor],
                headers=SETTING.headers,
                client_timeout=ANSWER_SECONDS,
                parameters=PARAMETERS,
            )
            if result.as_numpy("label") is None:
                failure = ValueError("the answer has no label")
            elif CONFIG.digest not in result.get_response().parameters["digest"].string_param:
                failure = ValueError(_OTHER_MODEL)
        except triton.InferenceServerException as error:
            failure = error
        self.environment.events.request.fire(
            request_type="gRPC",
            name="infer",
            response_time=(time.perf_counter() - started) * 1000,
            response_length=0,
            exception=failure,
            context={},
        )

    def on_stop(self) -> None:
        """Leave the channel to the next user."""
        _idle.append(self._client)


class Shape(LoadTestShape):
    """As many users as the setting says; locust's own options say so where nobody waits for the times."""

    abstract = not SETTING.times

    def tick(self) -> tuple[int, float] | None:
        """How many users there should be now, and how many a second may come or go; None at the end."""
        users = users_at(self.get_run_time(), CONFIG)  # type: ignore[no-untyped-call]
        return None if users is None else (users, CONFIG.users)


# Channels are never closed: within gevent, gRPC locks itself up in it at times (grpc/grpc#42247).
_idle: list[triton.InferenceServerClient] = []


def _channel() -> triton.InferenceServerClient:
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]
    return triton.InferenceServerClient(CONFIG.grpc_url, channel_args=options)


_OTHER_MODEL = f"the answer is of another model than {CONFIG.digest[:12]}"


# Made once for all users, so that the time is the server's, and the next one's turn goes on from the last one's.
@lru_cache
def _rest_bodies() -> Iterator[tuple[dict[str, str], bytes]]:
    return cycle([_rest_body(data) for data in encoded_images(SETTING.images)])


@lru_cache
def _grpc_inputs() -> Iterator[triton.InferInput]:
    return cycle([_grpc_input(data) for data in encoded_images(SETTING.images)])


def _rest_body(data: bytes) -> tuple[dict[str, str], bytes]:
    packed = contract.to_packed([data])
    tensor = {
        "name": contract.INPUT,
        "datatype": "BYTES",
        "shape": [1],
        "parameters": {"binary_data_size": len(packed)},
    }
    head = json.dumps({"inputs": [tensor], "parameters": PARAMETERS}).encode()
    return {
        "Inference-Header-Content-Length": str(len(head)),
        "Content-Type": "application/octet-stream",
    }, head + packed


def _grpc_input(data: bytes) -> triton.InferInput:
    tensor = triton.InferInput(contract.INPUT, [1], "BYTES")
    tensor.set_data_from_numpy(np.array([data], dtype=np.object_))
    return tensor


@events.init.add_listener  # type: ignore[untyped-decorator]
def record(environment: Any, runner: Any, **_: Any) -> None:
    """Keep the time of every request: locust's own percentiles are rounded to two digits."""
    if CONFIG.url:  # before the clock runs
        _rest_bodies()
    if CONFIG.grpc_url:
        _grpc_inputs()
    if not SETTING.times:
        return
    times = TimesWriter(Path(SETTING.times))

    def note(request_type: str, response_time: float, exception: Exception | None, **_: Any) -> None:
        times.note(
            end=time.perf_counter(),
            milliseconds=response_time,
            protocol="gRPC" if request_type == "gRPC" else "REST",
            users=runner.user_count,
            failure=str(exception) if exception else "",
        )

    def close(**_: Any) -> None:
        times.close(callers_busy=runner.cpu_warning_emitted)

    environment.events.request.add_listener(note)
    environment.events.quitting.add_listener(close)


@events.quit.add_listener  # type: ignore[untyped-decorator]
def leave(exit_code: int, **_: Any) -> None:
    """End without the interpreter's own clearing up, which would close the channels."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)
