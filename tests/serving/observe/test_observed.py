"""Each request has one line in the log, with ECS's field names and nothing that a client wrote."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote

import grpc
import numpy as np
import pytest

from secondread import __version__
from secondread.serving.observe.observed import Observer
from secondread.serving.observe.observers import ObservedApp
from secondread.serving.transformer.sdk import GRPCInferenceServiceStub, messages

INFER, PREDICT = "/v2/models/secondread/infer", "/v1/models/secondread:predict"
TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"
PATIENT, PATIENT_ID, STUDY = "Mueller^Hans", "4711-0815", "lung-of-aunt-erna"


class Archive(BaseHTTPRequestHandler):
    """Gives one film under a patient's name, and nothing else."""

    film = b""

    def do_GET(self) -> None:
        self.send_response(200 if ".dcm" in self.path else 404)
        self.end_headers()
        self.wfile.write(self.film)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def archive() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Archive) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(scope="module")
def logged(
    start_in: Callable[..., Any],
    stop: Callable[[Any], int],
    triton_address: str,
    archive: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Any]:
    """A server that logs all there is to log, as JSON."""
    server = start_in(
        tmp_path_factory.mktemp("logged"),
        predictor=triton_address,
        environment={"SECONDREAD_LOG": "json"},
        log_level="debug",
        url_hosts=[archive],
        url_networks=["127.0.0.0/8"],
    )
    yield server
    stop(server)


@pytest.fixture
def lines(logged: Any, wait_until: Callable[..., None]) -> Callable[[int], list[dict[str, Any]]]:
    """The so many lines about requests that came since; a line is written after its answer."""
    before = len(logged.log.read_text())

    def found() -> list[dict[str, Any]]:
        documents = [json.loads(line) for line in logged.log.read_text()[before:].splitlines()]
        return [document for document in documents if "event.duration" in document]

    def wait(count: int) -> list[dict[str, Any]]:
        wait_until(lambda: len(found()) >= count, seconds=10, what=f"{count} lines in the log")
        return found()

    return wait


def ask(server: Any, path: str, document: Any = None, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """Status and body of an answer."""
    body = None if document is None else document if isinstance(document, bytes) else json.dumps(document).encode()
    request = urllib.request.Request(server.url + path, body, headers or {})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def v2(*images: bytes, **changes: Any) -> dict[str, Any]:
    data = [base64.b64encode(each).decode() for each in images]
    return {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [len(images)], "data": data} | changes]}


def v1(image: bytes) -> dict[str, Any]:
    return {"instances": [{"b64": base64.b64encode(image).decode()}]}


def message(*images: bytes, **changes: Any) -> Any:
    tensor = {"name": "image", "datatype": "BYTES", "shape": [len(images)], "contents": {"bytes_contents": images}}
    return messages.ModelInferRequest(**{"model_name": "secondread", "inputs": [tensor]} | changes)


def test_a_reading_over_rest_is_one_line(
    logged: Any, lines: Callable[..., list[dict[str, Any]]], film: Callable[..., bytes]
) -> None:
    body = json.dumps(v2(film(1), film(2))).encode()
    status, answer = ask(logged, INFER, body, {"traceparent": TRACEPARENT})
    assert status == 200
    (line,) = lines(1)
    columns = {output["name"]: output["data"] for output in json.loads(answer)["outputs"]}
    assert line | {"@timestamp": "", "event.duration": 0, "message": ""} == {
        "@timestamp": "",
        "message": "",
        "ecs.version": "8.11.0",
        "log.level": "info",
        "log.logger": "secondread.serving.observe.observed",
        "service.name": "secondread",
        "service.version": __version__,
        "event.duration": 0,
        "event.outcome": "success",
        "trace.id": TRACE,
        "url.path": INFER,
        "http.request.method": "POST",
        "http.request.body.bytes": len(body),
        "http.response.status_code": 200,
        "http.response.body.bytes": len(answer),
        "secondread.model.name": "secondread",
        "secondread.model.version": "3",
        "secondread.images": 2,
        "secondread.reading.ids": columns["reading_id"],
    }
    assert 100_000 < line["event.duration"] < 10_000_000_000
    assert line["message"].startswith(f"POST {INFER}: 200 in ")


def test_a_reading_over_grpc_is_one_line(
    logged: Any, lines: Callable[..., list[dict[str, Any]]], film: Callable[..., bytes]
) -> None:
    request = message(film(1))
    with grpc.insecure_channel(logged.grpc_url) as channel:
        answer = GRPCInferenceServiceStub(channel).ModelInfer(request, metadata=[("traceparent", TRACEPARENT)])
        with pytest.raises(grpc.RpcError):
            GRPCInferenceServiceStub(channel).ModelInfer(message(b"none"))
    good, bad = lines(2)
    assert {name: good[name] for name in good if name.startswith(("rpc.", "http.", "trace.", "log.level"))} == {
        "log.level": "info",
        "trace.id": TRACE,
        "rpc.system.name": "grpc",
        "rpc.method": "inference.GRPCInferenceService/ModelInfer",
        "rpc.response.status_code": "OK",
        "http.request.body.bytes": request.ByteSize(),
        "http.response.body.bytes": answer.ByteSize(),
    }
    assert (good["secondread.model.version"], good["secondread.images"]) == ("3", 1)
    assert len(good["secondread.reading.ids"]) == 1
    assert (bad["log.level"], bad["event.outcome"]) == ("warning", "failure")
    assert (bad["rpc.response.status_code"], bad["error.type"]) == ("INVALID_ARGUMENT", "ImageError")


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_nothing_of_a_patient_is_in_the_log(
    logged: Any,
    lines: Callable[..., list[dict[str, Any]]],
    dicom: Callable[..., bytes],
    archive: str,
) -> None:
    pixels = np.arange(48 * 48, dtype=np.uint16).reshape(48, 48)
    names = {"PatientName": PATIENT, "PatientID": PATIENT_ID, "StudyDescription": STUDY}
    good = dicom(pixels, **names)
    # its values are none that DICOM allows, and its pixels are missing
    bad = dicom(pixels, PixelData=None, **names, PatientBirthDate=PATIENT_ID, StudyInstanceUID=PATIENT_ID)
    Archive.film = good
    named = {"User-Agent": PATIENT, "traceparent": PATIENT, "tracestate": f"a={PATIENT_ID}", "X-Patient": PATIENT_ID}
    patient = quote(PATIENT)

    def url(address: str) -> dict[str, Any]:
        return {"inputs": [{"name": "url", "datatype": "BYTES", "shape": [1], "data": [address]}]}

    asked = [
        (200, INFER, v2(good) | {"id": PATIENT}),
        (200, f"{INFER}?patient={PATIENT_ID}", v2(good)),
        (200, PREDICT, v1(good)),
        (200, INFER, url(f"http://{archive}/{patient}/{PATIENT_ID}.dcm?{STUDY}")),
        (400, INFER, v2(good, bad) | {"id": PATIENT}),
        (400, PREDICT, v1(bad)),
        (400, INFER, v2(good, name=PATIENT)),
        (400, INFER, v2(good) | {"outputs": [{"name": PATIENT_ID}]}),
        (400, INFER, f'{{"{PATIENT}'.encode()),
        (400, INFER, url(f"http://{archive}/{patient}/{PATIENT_ID}")),
        (400, INFER, url(f"http://{STUDY}.example/{PATIENT_ID}.dcm")),
        (404, f"/v2/models/{patient}/infer", v2(good)),
        (404, f"/v2/models/secondread/versions/{PATIENT_ID}", None),
        (404, f"/{patient}/{PATIENT_ID}.dcm", None),
    ]
    assert [ask(logged, path, document, named)[0] for _, path, document in asked] == [status for status, *_ in asked]

    metadata = [("x-patient", PATIENT_ID), ("traceparent", PATIENT)]
    calls = [message(good, id=PATIENT), message(bad), message(good, model_name=PATIENT)]
    with grpc.insecure_channel(logged.grpc_url) as channel:
        for request in calls:
            with suppress(grpc.RpcError):
                GRPCInferenceServiceStub(channel).ModelInfer(request, metadata=metadata)

    assert len(lines(len(asked) + len(calls))) == len(asked) + len(calls)
    text = logged.log.read_text().lower()
    for secret in ("mueller", "hans", PATIENT_ID, "4711", STUDY, "erna", ".dcm"):
        assert secret.lower() not in text
    assert f'"url.path": "{INFER}"' in text


@pytest.mark.parametrize(
    ("method", "status", "level", "type_of_error"),
    [
        ("POST", 200, "INFO", None),
        ("GET", 200, "DEBUG", None),
        ("GET", 503, "WARNING", "503"),
        ("POST", 404, "WARNING", "404"),
        ("POST", 503, "WARNING", "503"),
        ("POST", 500, "ERROR", "500"),
    ],
)
def test_what_was_refused_is_a_warning_and_a_bug_is_an_error(
    caplog: pytest.LogCaptureFixture, method: str, status: int, level: str, type_of_error: str | None
) -> None:
    (record,) = answered(caplog, method=method, status=status)
    assert (record.levelname, record.fields.get("error.type")) == (level, type_of_error)
    assert record.fields["event.outcome"] == ("success" if status == 200 else "failure")


def test_an_application_that_fails_without_an_answer_is_an_error(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ZeroDivisionError):
        answered(caplog, status=0)
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_a_path_that_is_not_served_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    (record,) = answered(caplog, path=f"/{PATIENT}", status=404)
    assert "url.path" not in record.fields
    assert record.getMessage().startswith("POST: 404 in ")


@pytest.mark.parametrize(
    "header", ["", "x", "00-" + "0" * 32 + "-b7ad6b7169203331-01", TRACEPARENT + "\n", TRACEPARENT.upper()]
)
def test_a_trace_that_is_none_is_not_told(caplog: pytest.LogCaptureFixture, header: str) -> None:
    (record,) = answered(caplog, headers=[(b"traceparent", header.encode())])
    assert "trace.id" not in record.fields


def test_nothing_is_logged_where_it_is_off(caplog: pytest.LogCaptureFixture) -> None:
    assert answered(caplog, status=500, log_requests=False) == []


def test_a_server_logs_from_the_level_on_that_it_is_told(
    start: Callable[..., Any], stop: Callable[[Any], int], film: Callable[..., bytes]
) -> None:
    server = start(predictor="127.0.0.1:1", log_level="error", environment={"SECONDREAD_LOG": "json"})
    assert ask(server, INFER, v2(b"none"))[0] == 400
    assert ask(server, INFER, v2(film(1)))[0] == 503
    assert stop(server) == 0
    written = [json.loads(line) for line in server.log.read_text().splitlines()]
    # Triton is not there, which is an error; that a request was refused is none
    assert {line["log.logger"] for line in written} == {"secondread.serving.transformer.predictor"}


def answered(
    caplog: pytest.LogCaptureFixture,
    *,
    method: str = "POST",
    path: str = INFER,
    status: int = 200,
    headers: list[tuple[bytes, bytes]] | None = None,
    log_requests: bool = True,
) -> list[logging.LogRecord]:
    """What is logged of one request to an application that answers with a status; with 0, it fails."""
    caplog.set_level(logging.DEBUG, logger="secondread")

    async def app(_scope: Any, _receive: Any, send: Callable[..., Any]) -> None:
        await send({"type": "http.response.start", "status": status // bool(status)})

    async def nothing(_message: Any = None) -> dict[str, str]:
        return {"type": "http.request"}

    observed = ObservedApp(app, Observer(log_requests=log_requests, tracing=None), frozenset({INFER}))
    scope = {"type": "http", "method": method, "path": path, "headers": headers or []}
    asyncio.run(observed(scope, nothing, nothing))
    return caplog.records
