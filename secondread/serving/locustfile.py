"""Users of the inference API for locust: real image bytes, over REST with the binary extension and over gRPC.

`secondread loadtest` runs this file; so does `locust -f tests/load/locustfile.py --host http://127.0.0.1:8080`.
"""

from __future__ import annotations

import json
import time
from itertools import cycle
from pathlib import Path
from typing import Any

import grpc.experimental.gevent as grpc_gevent
import numpy as np
from locust import FastHttpUser, User, constant, events, task
from tritonclient import grpc as triton

from secondread.serving import contract
from secondread.serving.load_setting import LoadSetting, encoded_images

# locust has patched the standard library for gevent; gRPC's own threads would block it without this.
grpc_gevent.init_gevent()

SETTING = LoadSetting.from_environment()


class RestUser(FastHttpUser):
    """Sends one image a request over REST, with the binary extension."""

    wait_time = constant(SETTING.wait_seconds)

    def on_start(self) -> None:
        """Prepare the bodies, so that the time is the server's."""
        self._bodies = cycle([_rest_body(data) for data in encoded_images(SETTING.images)])

    @task
    def infer(self) -> None:
        """Ask for one reading."""
        headers, body = next(self._bodies)
        path = f"/v2/models/{SETTING.name}/infer"
        with self.client.post(
            path,
            data=body,  # type: ignore[arg-type]
            headers={**headers, **SETTING.headers},
            name="infer",
            catch_response=True,
        ) as response:
            if response.status_code != 200:
                response.failure(f"{response.status_code} {response.text}")
            elif b'"label"' not in response.content:
                response.failure("the answer has no label")


class GrpcUser(User):
    """Sends one image a request over gRPC, on a channel of its own."""

    wait_time = constant(SETTING.wait_seconds)

    def on_start(self) -> None:
        """Open the channel. Users that share one would wait for each other."""
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]
        self._client = triton.InferenceServerClient(SETTING.grpc_url, channel_args=options)
        self._inputs = cycle([_grpc_input(data) for data in encoded_images(SETTING.images)])

    @task
    def infer(self) -> None:
        """Ask for one reading."""
        tensor, failure, started = next(self._inputs), None, time.perf_counter()
        try:
            if self._client.infer(SETTING.name, [tensor], headers=SETTING.headers).as_numpy("label") is None:
                failure = ValueError("the answer has no label")
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
        """Close the channel."""
        self._client.close()


def _rest_body(data: bytes) -> tuple[dict[str, str], bytes]:
    packed = contract.to_packed([data])
    tensor = {
        "name": contract.INPUT,
        "datatype": "BYTES",
        "shape": [1],
        "parameters": {"binary_data_size": len(packed)},
    }
    head = json.dumps({"inputs": [tensor]}).encode()
    return {
        "Inference-Header-Content-Length": str(len(head)),
        "Content-Type": "application/octet-stream",
    }, head + packed


def _grpc_input(data: bytes) -> triton.InferInput:
    tensor = triton.InferInput(contract.INPUT, [1], "BYTES")
    tensor.set_data_from_numpy(np.array([data], dtype=np.object_))
    return tensor


@events.init.add_listener  # type: ignore[untyped-decorator]
def record(environment: Any, **_: Any) -> None:
    """Keep the time of every request: locust's own percentiles are rounded to two digits."""
    encoded_images(SETTING.images)  # before the clock runs
    if not SETTING.results:
        return
    times: list[tuple[float, float, str]] = []

    def note(response_time: float, exception: Exception | None, **_: Any) -> None:
        times.append((time.time(), response_time, str(exception) if exception else ""))

    def write(**_: Any) -> None:
        Path(SETTING.results).write_text(json.dumps(times), encoding="utf-8")

    environment.events.request.add_listener(note)
    environment.events.quitting.add_listener(write)
