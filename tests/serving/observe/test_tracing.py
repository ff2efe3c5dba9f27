"""Spans go to a collector where one is named: over OTLP/HTTP to a real one, and to one that is absent or mute."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from secondread.config.trace import TraceSettings
from secondread.serving.transformer.sdk import GRPCInferenceServiceStub, messages

ROOT = Path(__file__).resolve().parents[3]
INFER = "/v2/models/secondread/infer"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
OF_FASTAPI = {"FASTAPI_OTEL_AUTO_CONFIGURE": "true"}  # its own spans have paths and queries in them
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "50"}  # milliseconds between two batches


class Collector:
    """What came in, by trace id; several tests share it, each with traces of its own."""

    def __init__(self) -> None:
        self.paths: set[tuple[str, str]] = set()  # asked for, with their content type
        self.spans: list[tuple[dict[str, Any], Span]] = []  # with the resource that each is of

    def of_trace(self, trace: str) -> dict[str, Span]:
        """By name."""
        return {span.name: span for _, span in self.spans if span.trace_id.hex() == trace}


@pytest.fixture(scope="module")
def collector() -> Iterator[tuple[str, Collector]]:
    """A collector, and its address."""
    found = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.paths.add((self.path, self.headers["content-type"]))
            body = self.rfile.read(int(self.headers["content-length"]))
            for each in ExportTraceServiceRequest.FromString(body).resource_spans:
                resource = attributes(each.resource)
                found.spans += [(resource, span) for scope in each.scope_spans for span in scope.spans]
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", found
        server.shutdown()


@pytest.fixture(scope="module")
def traced(
    start_in: Callable[..., Any],
    stop: Callable[[Any], int],
    triton_address: str,
    collector: tuple[str, Collector],
    film: Callable[..., bytes],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Any]:
    """A server that sends its spans to the collector, and reads images from a host that is allowed: the collector's."""
    server = start_in(
        tmp_path_factory.mktemp("traced"),
        predictor=triton_address,
        environment={"OTEL_EXPORTER_OTLP_ENDPOINT": collector[0], "SECONDREAD_LOG": "json", **SOON, **OF_FASTAPI},
        url_hosts=[collector[0].removeprefix("http://")],
        url_networks=["127.0.0.0/8"],
    )
    yield server
    assert stop(server) == 0


def attributes(of: Any) -> dict[str, Any]:
    """Of a span or a resource, as Python has them."""

    def plain(value: Any) -> Any:
        kind = value.WhichOneof("value")
        return [plain(each) for each in value.array_value.values] if kind == "array_value" else getattr(value, kind)

    return {attribute.key: plain(attribute.value) for attribute in of.attributes}


def ask(server: Any, *images: bytes, trace: str = TRACE, name: str = "image", path: str = INFER) -> int:
    """Status of the answer to a request within a trace."""
    data = [base64.b64encode(each).decode() if name == "image" else each.decode() for each in images]
    tensor = {"name": name, "datatype": "BYTES", "shape": [len(images)], "data": data}
    headers = {"traceparent": f"00-{trace}-{PARENT}-01", "tracestate": "who=Mueller", "baggage": "who=Mueller"}
    request = urllib.request.Request(server.url + path, json.dumps({"inputs": [tensor]}).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.fixture
def spans(collector: tuple[str, Collector], wait_until: Callable[..., None]) -> Callable[..., dict[str, Span]]:
    """Those of a trace, once all that are waited for are there."""

    def wait(trace: str, *names: str) -> dict[str, Span]:
        of_trace = collector[1].of_trace
        wait_until(lambda: set(names) <= set(of_trace(trace)), seconds=10, what=f"the spans {names}")
        assert set(of_trace(trace)) == set(names)
        return of_trace(trace)

    return wait


def test_a_request_over_rest_is_a_span_below_its_clients_with_a_span_for_each_stage(
    traced: Any, spans: Callable[..., dict[str, Span]], film: Callable[..., bytes], triton_address: str
) -> None:
    trace = "1" * 32
    assert ask(traced, film(1), film(2), trace=trace) == 200
    found = spans(trace, f"POST {INFER}", "decode", "predict")
    request, decode, predict = found[f"POST {INFER}"], found["decode"], found["predict"]
    assert request.parent_span_id.hex() == PARENT
    assert decode.parent_span_id == predict.parent_span_id == request.span_id
    assert (request.kind, decode.kind, predict.kind) == (
        Span.SPAN_KIND_SERVER,
        Span.SPAN_KIND_INTERNAL,
        Span.SPAN_KIND_CLIENT,
    )
    assert request.start_time_unix_nano <= decode.start_time_unix_nano < decode.end_time_unix_nano
    assert decode.end_time_unix_nano <= predict.start_time_unix_nano < request.end_time_unix_nano
    told = attributes(request)
    assert len(told.pop("secondread.reading.ids")) == 2
    assert told.pop("http.request.body.size") > 1000
    assert told.pop("http.response.body.size") > 500
    assert told == {
        "http.request.method": "POST",
        "http.route": INFER,
        "url.path": INFER,
        "url.scheme": "http",
        "http.response.status_code": 200,
        "secondread.model.name": "secondread",
        "secondread.model.version": "3",
        "secondread.images": 2,
    }
    assert attributes(decode) == {"secondread.images": 2}
    host, _, port = triton_address.partition(":")
    assert attributes(predict) == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "url.full": f"http://{triton_address}/v2/models/secondread/versions/3/infer",
        "server.address": host,
        "server.port": int(port),
        "secondread.model.name": "secondread",
        "secondread.model.version": "3",
    }
    assert not any(span.trace_state for span in found.values())


def test_a_call_over_grpc_is_one_too(
    traced: Any, spans: Callable[..., dict[str, Span]], film: Callable[..., bytes]
) -> None:
    trace = "2" * 32
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "contents": {"bytes_contents": [film(1)]}}
    with grpc.insecure_channel(traced.grpc_url) as channel:
        GRPCInferenceServiceStub(channel).ModelInfer(
            messages.ModelInferRequest(model_name="secondread", inputs=[tensor]),
            metadata=[("traceparent", f"00-{trace}-{PARENT}-01")],
        )
    name = "inference.GRPCInferenceService/ModelInfer"
    found = spans(trace, name, "decode", "predict")
    assert found[name].parent_span_id.hex() == PARENT
    assert found["predict"].parent_span_id == found[name].span_id
    told = attributes(found[name])
    assert (told["rpc.system.name"], told["rpc.method"], told["rpc.response.status_code"]) == ("grpc", name, "OK")
    assert told["secondread.model.version"] == "3"


def test_fetching_is_a_span_without_the_address(
    traced: Any, spans: Callable[..., dict[str, Span]], collector: tuple[str, Collector]
) -> None:
    trace = "3" * 32
    assert ask(traced, f"{collector[0]}/Mueller.dcm".encode(), trace=trace, name="url") == 503  # it is no archive: 501
    found = spans(trace, f"POST {INFER}", "fetch")
    assert attributes(found["fetch"]) == {"secondread.images": 1, "error.type": "DependencyError"}
    assert "Mueller" not in str(found)


def test_what_is_refused_has_its_type_and_a_bug_or_an_overload_is_an_error(
    traced: Any, spans: Callable[..., dict[str, Span]]
) -> None:
    trace = "4" * 32
    assert ask(traced, b"Mueller", trace=trace) == 400
    found = spans(trace, f"POST {INFER}", "decode")
    request = found[f"POST {INFER}"]
    assert attributes(request)["error.type"] == attributes(found["decode"])["error.type"] == "ImageError"
    assert (request.status.code, found["decode"].status.code) == (Status.STATUS_CODE_UNSET, Status.STATUS_CODE_ERROR)
    assert not request.events
    assert "Mueller" not in str(found)


def test_the_log_names_the_trace_and_the_spans_name_the_service(
    traced: Any,
    spans: Callable[..., dict[str, Span]],
    collector: tuple[str, Collector],
    wait_until: Callable[..., None],
) -> None:
    before = len(traced.log.read_text())
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(traced.url + INFER, b"{}", method="POST"), timeout=30)
    caught.value.close()
    wait_until(lambda: len(traced.log.read_text()) > before, seconds=10, what="a line in the log")
    (line,) = traced.log.read_text()[before:].splitlines()
    spans(json.loads(line)["trace.id"], f"POST {INFER}")  # begun here, since the client had none
    assert collector[1].paths == {("/v1/traces", "application/x-protobuf")}
    assert {resource["service.name"] for resource, _ in collector[1].spans} == {"secondread"}


def test_health_is_not_traced(
    traced: Any, spans: Callable[..., dict[str, Span]], film: Callable[..., bytes], collector: tuple[str, Collector]
) -> None:
    with urllib.request.urlopen(f"{traced.url}/v2/health/ready", timeout=30) as response:
        assert response.status == 200
    trace = "5" * 32
    assert ask(traced, film(1), trace=trace) == 200
    spans(trace, f"POST {INFER}", "decode", "predict")  # what came before it is there, too
    assert not [span.name for _, span in collector[1].spans if "ready" in span.name]


@pytest.fixture
def recorder() -> Iterator[tuple[str, list[bytes]]]:
    """A Triton that is busy, and what it was sent."""
    heads: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    heads.append(connection.recv(1 << 16))
                    connection.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}", heads
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_triton_is_told_the_trace_where_there_is_one(
    start: Callable[..., Any],
    stop: Callable[[Any], int],
    recorder: tuple[str, list[bytes]],
    collector: tuple[str, Collector],
    spans: Callable[..., dict[str, Span]],
    film: Callable[..., bytes],
) -> None:
    address, heads = recorder
    trace = "6" * 32
    server = start(predictor=address, environment={"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector[0]}/v1/traces"})
    assert ask(server, film(1), trace=trace) == 503
    assert stop(server) == 0  # sends what is left, at once
    found = spans(trace, f"POST {INFER}", "decode", "predict")
    assert f"\r\ntraceparent: 00-{trace}-{found['predict'].span_id.hex()}-01\r\n".encode() in heads[-1]
    assert b"Mueller" not in heads[-1]
    assert attributes(found["predict"])["http.response.status_code"] == 503
    assert found[f"POST {INFER}"].status.code == Status.STATUS_CODE_ERROR


def test_without_a_collector_triton_is_told_no_trace_and_nothing_is_imported(
    start: Callable[..., Any], stop: Callable[[Any], int], recorder: tuple[str, list[bytes]], film: Callable[..., bytes]
) -> None:
    address, heads = recorder
    server = start(predictor=address)
    assert ask(server, film(1)) == 503
    assert stop(server) == 0
    assert b"traceparent" not in heads[-1]
    code = "import sys, secondread.serving.local.serve; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    # FastAPI imports the API, which does nothing without these
    ours = "secondread.serving.observe.tracing"
    assert not {"opentelemetry.sdk", "opentelemetry.exporter", ours} & set(done.stdout.split())


@pytest.mark.parametrize("kind", ["absent", "mute"])
def test_a_collector_that_is_absent_or_mute_holds_up_nobody(
    start: Callable[..., Any],
    stop: Callable[[Any], int],
    triton_address: str,
    silent_predictor: str,
    film: Callable[..., bytes],
    kind: str,
) -> None:
    address = {"absent": "127.0.0.1:1", "mute": silent_predictor}[kind]
    # a queue of 8 spans is full after three requests
    small = {"OTEL_BSP_MAX_QUEUE_SIZE": "8", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "4"}
    server = start(
        predictor=triton_address, environment={"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{address}", **small, **SOON}
    )
    started = time.monotonic()
    assert [ask(server, film(1)) for _ in range(50)] == [200] * 50
    answered = time.monotonic() - started
    started = time.monotonic()
    assert stop(server) == 0
    stopped = time.monotonic() - started
    assert answered < 8  # one batch that waits takes 10 s
    assert stopped < 8  # the SDK's own patience is 30 s
    assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize(
    ("variables", "code", "says"),
    [
        ({"HIDDEN": "opentelemetry.exporter"}, 3, "pip install 'secondread[trace]'"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, 2, "OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc'"),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "0"}, 2, "cannot be set up by its variables OTEL_*"),
    ],
)
@pytest.mark.parametrize("command", ["secondread.serving", "secondread"], ids=["pod", "laptop"])
def test_what_stands_in_the_way_of_traces_is_one_line(
    repository: Path, trusted: Path, variables: dict[str, str], code: int, says: str, command: str
) -> None:
    arguments = ["--model-dir"] if command == "secondread.serving" else ["serve", "--http-port=0", "--repository"]
    hide = "import os, runpy, sys; name = os.environ.get('HIDDEN'); sys.modules.update({name: None} if name else {}); "
    run = f"sys.argv = {[command, *arguments, str(repository)]}; runpy.run_module('{command}', run_name='__main__')"
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "SECONDREAD_TRUSTED_KEYS": str(trusted)}
    done = subprocess.run(
        [sys.executable, "-c", hide + run],
        cwd=ROOT,
        env={**os.environ, **environment, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == code, done.stderr
    assert says in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("variables", "endpoint"),
    [
        ({}, ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4318"}, "http://a:4318"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://b"}, "http://b"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_SDK_DISABLED": "True"}, ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_TRACES_EXPORTER": "none"}, ""),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, ""),  # of other signals, perhaps
    ],
)
def test_where_traces_go(variables: dict[str, str], endpoint: str) -> None:
    assert TraceSettings.read(variables).endpoint == endpoint
