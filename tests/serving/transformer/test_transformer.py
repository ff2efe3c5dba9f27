"""The inference API of a real server, as clients see it: tritonclient over gRPC and HTTP, curl, and plain HTTP."""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import json
import struct
import subprocess
import urllib.error
import urllib.request
import uuid
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pydicom
import pytest
from tritonclient import http as triton_http

from secondread.model.session import Outputs
from secondread.serving.protocol import contract
from secondread.serving.transformer.sdk import GRPCInferenceServiceStub, messages

Film = Callable[..., bytes]
Expected = Callable[..., Outputs]
LABELS = ("cxr-normal", "cxr-covid", "cxr-opacity")

GRPC = """
import json, sys
import numpy as np
from tritonclient import grpc
address, images = sys.argv[1], [bytes.fromhex(text) for text in sys.argv[2:]]
tensor = grpc.InferInput("image", [len(images)], "BYTES")
tensor.set_data_from_numpy(np.array(images, dtype=object))
with grpc.InferenceServerClient(address) as client:
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("secondread")
    assert [each.name for each in client.get_model_metadata("secondread").inputs] == ["image"]
    try:
        result = client.infer("secondread", [tensor])
    except grpc.InferenceServerException as error:
        print(json.dumps({"status": error.status(), "error": error.message()}))
        sys.exit()
    response = result.get_response()
    print(json.dumps({
        "version": response.model_version,
        "notice": response.parameters["notice"].string_param,
        "synthetic": response.parameters["synthetic"].bool_param,
        "label": [each.decode() for each in result.as_numpy("label")],
        "probabilities": result.as_numpy("probabilities").tolist(),
        "out_of_distribution": result.as_numpy("out_of_distribution").tolist(),
    }))
"""


def post(url: str, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, dict[str, Any], Any]:
    """Status, document and headers of a POST to the infer route."""
    request = urllib.request.Request(f"{url}/v2/models/secondread/infer", body, headers or {}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response), response.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error), error.headers


def document(*images: bytes, **changes: Any) -> bytes:
    """A request in JSON."""
    tensor = {"name": "image", "datatype": "BYTES", "shape": [len(images)]}
    return json.dumps(
        {"inputs": [tensor | {"data": [base64.b64encode(each).decode() for each in images]} | changes]}
    ).encode()


def outputs(answer: dict[str, Any]) -> dict[str, Any]:
    """Data of each output of a JSON answer."""
    return {output["name"]: output["data"] for output in answer["outputs"]}


def labels_of(expected: Outputs) -> list[str]:
    return [LABELS[index] for index in expected.probabilities.argmax(axis=1)]


@pytest.fixture
def radiographs(shared_data: Path) -> list[bytes]:
    """Real films: a JPEG of each of three classes."""
    folder = shared_data / "radiography-4"
    jpegs = [sorted(each.glob("*.jpg"))[0] for each in sorted(folder.iterdir()) if each.is_dir()][:3]
    return [path.read_bytes() for path in jpegs]


def test_tritonclient_over_grpc_gets_what_onnxruntime_says(
    served: Any, expected: Expected, radiographs: list[bytes], run_python: Callable[..., str]
) -> None:
    answer = json.loads(run_python(GRPC, served.grpc_url, *(data.hex() for data in radiographs)))
    bare = expected(*radiographs)
    assert answer["label"] == labels_of(bare)
    np.testing.assert_allclose(answer["probabilities"], bare.probabilities, atol=1e-4)
    assert answer["version"] == "3"
    assert (answer["notice"], answer["synthetic"]) == (contract.NOTICE, True)


def test_tritonclient_over_http_gets_what_onnxruntime_says(
    served: Any, expected: Expected, radiographs: list[bytes]
) -> None:
    client = triton_http.InferenceServerClient(served.url.removeprefix("http://"))
    try:
        tensor = triton_http.InferInput("image", [len(radiographs)], "BYTES")
        tensor.set_data_from_numpy(np.array(radiographs, dtype=object))
        result = client.infer("secondread", [tensor])
        probabilities, label = result.as_numpy("probabilities"), result.as_numpy("label")
        wanted = [
            triton_http.InferRequestedOutput("confidence"),
            triton_http.InferRequestedOutput("label", binary_data=False),
        ]
        some = client.infer("secondread", [tensor], outputs=wanted).get_response()["outputs"]
    finally:
        client.close()
    bare = expected(*radiographs)
    assert [each.decode() for each in label] == labels_of(bare)
    np.testing.assert_allclose(probabilities, bare.probabilities, atol=1e-4)
    assert [output["name"] for output in some] == ["confidence", "label"]
    assert some[1]["data"] == labels_of(bare)


def test_curl_with_base64_gets_what_onnxruntime_says(served: Any, expected: Expected, radiographs: list[bytes]) -> None:
    command = ["curl", "--silent", "--fail", "--data-binary", "@-", f"{served.url}/v2/models/secondread/infer"]
    done = subprocess.run(command, input=document(*radiographs), capture_output=True, check=True, timeout=30)
    answer = json.loads(done.stdout)
    bare = expected(*radiographs)
    assert outputs(answer)["label"] == labels_of(bare)
    np.testing.assert_allclose(
        np.reshape(outputs(answer)["probabilities"], bare.probabilities.shape), bare.probabilities, atol=1e-4
    )


def test_binary_extension_written_by_hand(served: Any, expected: Expected, film: Film) -> None:
    packed = contract.to_packed([film(1), film(2, kind="JPEG")])
    tensor = {"name": "image", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": len(packed)}}
    head = json.dumps({"id": "mine", "inputs": [tensor]}).encode()
    status, answer, _ = post(served.url, head + packed, {"Inference-Header-Content-Length": str(len(head))})
    assert status == 200
    assert answer["id"] == "mine"
    assert outputs(answer)["label"] == labels_of(expected(film(1), film(2, kind="JPEG")))


def test_dicom_is_read(served: Any, expected: Expected, shared_data: Path) -> None:
    films = sorted((shared_data / "dicom").glob("*.dcm"), key=lambda path: path.stat().st_size)[:1]
    data = films[0].read_bytes()
    status, answer, _ = post(served.url, document(data))
    assert status == 200
    assert outputs(answer)["label"] == labels_of(expected(data))


def test_an_answer_says_everything_the_contract_lists(served: Any, film: Film, white: bytes, model: Any) -> None:
    _, answer, _ = post(served.url, document(film(5), white))
    types = {output["name"]: output["datatype"] for output in answer["outputs"]}
    assert types == contract.DATATYPES
    columns = outputs(answer)
    probabilities = np.reshape(columns["probabilities"], (2, 3))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(columns["confidence"], probabilities.max(axis=1), atol=1e-6)
    assert columns["image_id"] == [hashlib.sha256(data).hexdigest() for data in (film(5), white)]
    assert columns["out_of_distribution"] == [False, True]
    urgency = {"cxr-normal": "routine", "cxr-covid": "urgent", "cxr-opacity": "unknown"}
    assert columns["urgency"] == [urgency[columns["label"][0]], "unknown"]
    parameters = answer["parameters"]
    assert (answer["model_version"], parameters["model_version"]) == ("3", "3")
    assert parameters["digest"] == model.digest()
    assert json.loads(parameters["classes"]) == list(LABELS)
    assert "diagnosis" in parameters["notice"]


def test_reading_ids_are_fresh(served: Any, film: Film) -> None:
    ids = [
        uuid.UUID(each)
        for _ in range(2)
        for each in outputs(post(served.url, document(film(1), film(1)))[1])["reading_id"]
    ]
    assert len(set(ids)) == 4


@pytest.mark.parametrize(
    ("images", "says"),
    [
        ([b"text"], "image 2: the first bytes are of no"),
        ([b"\xff\xd8\xff\xe0 torn"], "image 2: the JPEG is corrupt or truncated"),
        ([b""], "image 2: the file is empty"),
    ],
)
def test_one_bad_image_refuses_the_request_and_is_named(
    served: Any, film: Film, images: list[bytes], says: str
) -> None:
    status, answer, headers = post(served.url, document(film(1), film(2), *images, film(3)))
    assert status == 400
    assert says in answer["error"]
    assert "\n" not in answer["error"]
    assert headers["content-type"] == "application/json"


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header names a size."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))


def dicom_without_rows(path: Path) -> bytes:
    """A real film whose attribute Rows is there and empty."""
    film, buffer = pydicom.dcmread(path), io.BytesIO()
    film.Rows = None
    film.save_as(buffer)
    return buffer.getvalue()


def test_a_png_that_claims_more_pixels_than_the_limit_is_refused(served: Any) -> None:
    status, answer, _ = post(served.url, document(png_that_claims(100_000, 100_000)))
    assert status == 413
    assert answer["error"].startswith("image 0: ")


def test_a_png_that_is_nothing_but_its_header_is_refused(served: Any) -> None:
    status, answer, _ = post(served.url, document(png_that_claims(100, 100)))
    assert status == 400
    assert answer["error"].startswith("image 0: ")


def test_a_dicom_without_rows_is_refused(served: Any, shared_data: Path) -> None:
    films = sorted((shared_data / "dicom").glob("*.dcm"), key=lambda path: path.stat().st_size)
    status, answer, _ = post(served.url, document(dicom_without_rows(films[0])))
    assert status == 400
    assert answer["error"].startswith("image 0: ")


def test_numbers_over_grpc_are_refused_as_what_they_are(served: Any) -> None:
    with grpc.insecure_channel(served.grpc_url) as channel:
        tensor = {"name": "image", "datatype": "INT32", "shape": [1], "contents": {"int_contents": [1]}}
        request = messages.ModelInferRequest(model_name="secondread", inputs=[tensor])
        with pytest.raises(grpc.RpcError) as caught:
            GRPCInferenceServiceStub(channel).ModelInfer(request)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "'image' INT32: send one input 'image' of type BYTES" in caught.value.details()


def test_what_says_that_it_is_a_test_in_another_word_than_true_is_refused_over_grpc(served: Any, film: Film) -> None:
    packed = contract.to_packed([film(1)])
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1]}
    request = messages.ModelInferRequest(model_name="secondread", inputs=[tensor], raw_input_contents=[packed])
    with grpc.insecure_channel(served.grpc_url) as channel:
        request.parameters["secondread_test"].bool_param = True
        assert GRPCInferenceServiceStub(channel).ModelInfer(request).outputs
        request.parameters["secondread_test"].string_param = "true"
        with pytest.raises(grpc.RpcError, match="'secondread_test' is neither true nor false") as caught:
            GRPCInferenceServiceStub(channel).ModelInfer(request)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_one_bad_image_over_grpc(served: Any, film: Film, run_python: Callable[..., str]) -> None:
    answer = json.loads(run_python(GRPC, served.grpc_url, film(1).hex(), b"text".hex()))
    assert answer["status"] == "StatusCode.INVALID_ARGUMENT"
    assert answer["error"].startswith("image 1: ")


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"{", 400, "is no JSON"),
        (b"[]", 400, "the request is no JSON object"),
        (b"{}", 400, "not exactly one input"),
        (b'{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1]}]}', 400, "neither 'data' nor"),
        (document(b"x", name="pixels"), 400, "'pixels' BYTES"),
        (document(b"x", datatype="FP32"), 400, "FP32"),
        (document(b"x", shape=[2]), 400, "1 images"),
        (document(b"x", shape=[1, 3]), 400, "shape [1, 3]"),
        (document(b"x", shape=[33]), 413, "33 images"),
        (document(b"x", data=["no base64!"]), 400, "image 0 is not base64"),
        (document(b"x", data=[7]), 400, "image 0 is not base64"),
        (document(b"x", data="text"), 400, "is no list"),
        (document(b"x", shape=[1.5]), 400, "shape' is [1.5]"),
        (document(b"x", shape=[True]), 400, "shape' is [True]"),
        (b'{"inputs": [{}], "parameters": {"binary_data_output": "no"}}', 400, "neither true nor false"),
        (b'{"inputs": [{}], "parameters": {"secondread_test": 1}}', 400, "'secondread_test' is neither true"),
        (b'{"inputs": [{}], "outputs": [{"parameters": {"binary_data": 1}}]}', 400, "neither true nor false"),
        (b'{"inputs": [{}], "parameters": []}', 400, "parameters is no JSON object"),
        (b'{"inputs": [' + b"[]," * 100_000 + b"[]]}", 400, "more than 10000 elements"),
    ],
)
def test_a_wrong_request_is_told_what_to_change(served: Any, body: bytes, status: int, says: str) -> None:
    got, answer, _ = post(served.url, body)
    assert (got, list(answer)) == (status, ["error"])
    assert says in answer["error"]


def test_what_may_be_left_out_may_be_null_and_a_whole_number_may_have_a_point(served: Any, film: Film) -> None:
    asked = json.loads(document(film(1), shape=[1.0])) | {"id": None, "parameters": None, "outputs": None}
    assert post(served.url, json.dumps(asked).encode())[0] == 200


@pytest.mark.parametrize("identifier", [[], {}, True, 1.5])
def test_an_id_is_a_text_or_a_number(served: Any, film: Film, identifier: Any) -> None:
    asked = json.loads(document(film(1)))
    assert post(served.url, json.dumps(asked | {"id": 7}).encode())[1]["id"] == "7"
    assert post(served.url, json.dumps(asked | {"id": identifier}).encode())[0] == 400


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/v2/models/secondread/infer", "POST"), ("/v1/models/secondread:predict", "POST"), ("/v2", "GET")],
)
def test_another_method_is_a_405_that_names_the_right_one(served: Any, path: str, allowed: str) -> None:
    request = urllib.request.Request(served.url + path, method="GET" if allowed == "POST" else "DELETE")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=30)
    with caught.value as error:
        assert (error.code, error.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize("length", ["x", "-1", "99999", "1" * 5000])
def test_a_wrong_length_header_is_a_400(served: Any, film: Film, length: str) -> None:
    status, answer, _ = post(served.url, document(film(1)), {"Inference-Header-Content-Length": length})
    assert status == 400
    assert "Inference-Header-Content-Length" in answer["error"]
    assert len(answer["error"]) < 200


def test_a_body_above_the_limit_is_a_413_however_it_is_sent(served: Any) -> None:
    host, _, port = served.url.removeprefix("http://").partition(":")
    big = b"x" * (1 << 20) + b"x"
    for body, chunked in ((big, False), (iter([big]), True)):
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
        try:
            connection.request("POST", "/v2/models/secondread/infer", body, encode_chunked=chunked)
            response = connection.getresponse()
            assert response.status == 413
            assert "1048576 bytes" in json.load(response)["error"]
        finally:
            connection.close()


@pytest.mark.parametrize("path", ["/v2/models/other/infer", "/v2/models/secondread/versions/4/infer"])
def test_another_model_or_version_is_a_404(served: Any, film: Film, path: str) -> None:
    request = urllib.request.Request(served.url + path, document(film(1)), method="POST")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=30)
    with caught.value as error:
        assert error.code == 404
        assert "does not exist" in json.load(error)["error"]


def test_the_version_in_the_path_answers(served: Any, film: Film) -> None:
    path = f"{served.url}/v2/models/secondread/versions/3/infer"
    with urllib.request.urlopen(urllib.request.Request(path, document(film(1)), method="POST"), timeout=30) as response:
        assert json.load(response)["model_version"] == "3"


@pytest.mark.parametrize("path", ["/v2/repository/models/secondread/unload", "/v2/repository/models/secondread/load"])
def test_nobody_unloads_the_model_over_the_port(served: Any, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(served.url + path, b"", method="POST"), timeout=30)
    with caught.value as error:
        assert error.code in (404, 405)
    with urllib.request.urlopen(f"{served.url}/v2/models/secondread/ready", timeout=30) as response:
        assert json.load(response) == {"name": "secondread", "ready": True}


def test_metadata_describes_the_inputs_and_outputs(served: Any) -> None:
    with urllib.request.urlopen(f"{served.url}/v2/models/secondread", timeout=30) as response:
        metadata = json.load(response)
    assert metadata["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [-1]}]
    shapes = {output["name"]: (output["datatype"], output["shape"]) for output in metadata["outputs"]}
    assert shapes["probabilities"] == ("FP32", [-1, 3])
    assert set(shapes) == set(contract.DATATYPES)


def test_metrics_have_the_names_that_rollout_reads(served: Any, film: Film) -> None:
    def sample(name: str) -> float:
        with urllib.request.urlopen(f"{served.url}/metrics", timeout=30) as response:
            lines = [line.rsplit(" ", 1) for line in response.read().decode().splitlines() if not line.startswith("#")]
        return sum(float(value) for key, value in lines if key == name)

    one = 'name="secondread",version="3"'
    names = {
        f'secondread_requests_total{{code="200",{one}}}': 1,
        f'secondread_requests_total{{code="400",{one}}}': 1,
        'secondread_request_seconds_count{name="secondread",stage="total",version="3"}': 2,
        'secondread_request_seconds_count{name="secondread",stage="predict",version="3"}': 1,
        f"secondread_confidence_count{{{one}}}": 2,
        f"secondread_out_of_distribution_total{{{one}}}": 0,
    }
    before = {name: sample(name) for name in names}
    _, answer, _ = post(served.url, document(film(1), film(2)))
    post(served.url, b"{")
    assert {name: sample(name) - before[name] for name in names} == names
    label = outputs(answer)["label"][0]
    assert sample(f'secondread_predictions_total{{label="{label}",{one}}}') >= 1
