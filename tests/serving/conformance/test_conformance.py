"""One suite of the Open Inference Protocol, asked by six clients of two servers: Triton, and the transformer before it.

The checks are in `suite.py`, the clients beside it; each client is a process of its own.
"""

from __future__ import annotations

import base64
import json
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secondread.model.folder import ModelFolder
from secondread.model.session import GraphSession, Outputs
from secondread.serving.local.triton import LocalTriton
from secondread.serving.protocol import contract

HERE = Path(__file__).parent
METADATA_AND_VERSIONS = runpy.run_path(str(HERE / "suite.py"))["METADATA_AND_VERSIONS"]
CLIENTS = ("plain_http", "binary_http", "triton_http", "triton_grpc", "kserve_rest", "kserve_grpc")
SUBJECTS = ("transformer", "triton")
LESS = ("kserve_rest", "kserve_grpc")  # clients without METADATA_AND_VERSIONS
HEALTH = ("live", "ready", "model_ready", "version_ready", "live_after_all")
INFER = ("infer", "infer_version", "infer_id")
WRONG = (
    *("wrong_model", "wrong_model_metadata", "wrong_version", "wrong_input_name", "wrong_datatype", "wrong_shape"),
    *("wrong_count", "wrong_output"),
)
# Where Triton does other than the protocol says: JSON numbers that do not fit their shape are a 500, and its health has
# no document, which the KServe SDK wants to read.
WRONG_IN_TRITON = {
    *(
        ("triton", client, check)
        for client in ("plain_http", "kserve_rest")
        for check in ("wrong_shape", "wrong_count")
    ),
    *(("triton", "kserve_rest", check) for check in ("live", "ready", "live_after_all")),
}
IMAGES = 3


@pytest.fixture(scope="module")
def triton(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTriton]:
    with LocalTriton(repository, home=tmp_path_factory.mktemp("home")) as server:
        yield server


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (IMAGES, 1, 32, 32), dtype=np.uint8)


@pytest.fixture(scope="module")
def outcome(
    served: Any, triton: LocalTriton, pixels: np.ndarray, films: list[bytes]
) -> Callable[[str, str], dict[str, Any]]:
    """All outcomes of a client's checks of a server; each client is run once."""
    model = {"model": "secondread", "version": "3"}
    subjects = {
        "transformer": {
            **model,
            "address": served.url.removeprefix("http://"),
            "grpc_address": served.grpc_url,
            "input": "image",
            "datatype": "BYTES",
            "shape": [len(films)],
            "data": [base64.b64encode(each).decode() for each in films],
        },
        "triton": {
            **model,
            "address": triton.http_address,
            "grpc_address": triton.grpc_address,
            "input": "pixels",
            "datatype": "UINT8",
            "shape": list(pixels.shape),
            "data": [base64.b64encode(pixels.tobytes()).decode()],
        },
    }

    @lru_cache
    def run(subject: str, client: str) -> dict[str, Any]:
        command = [sys.executable, str(HERE / "suite.py"), client, json.dumps(subjects[subject])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="module")
def films(film: Callable[..., bytes]) -> list[bytes]:
    return [film(seed, kind="JPEG" if seed % 2 else "PNG") for seed in range(IMAGES)]


@pytest.fixture(scope="module")
def truth(
    model: ModelFolder, expected: Callable[..., Outputs], pixels: np.ndarray, films: list[bytes]
) -> dict[str, Outputs]:
    """What onnxruntime says of the same images."""
    return {"transformer": expected(*films), "triton": GraphSession(model.graph_path()).run(pixels)}


def asked(checks: tuple[str, ...], subject: str, client: str) -> list[str]:
    """Those of some checks that a client has a call for, and that its server does not get wrong."""
    cannot = METADATA_AND_VERSIONS if client in LESS else ()
    return [check for check in checks if check not in cannot and (subject, client, check) not in WRONG_IN_TRITON]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_check_is_answered_or_refused(outcome: Callable[..., Any], subject: str, client: str) -> None:
    broken = {(subject, client, check) for check, found in outcome(subject, client).items() if "broken" in found}
    assert broken == {each for each in WRONG_IN_TRITON if each[:2] == (subject, client)}, outcome(subject, client)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("subject", SUBJECTS)
def test_health(outcome: Callable[..., Any], subject: str, client: str) -> None:
    found = outcome(subject, client)
    for check in asked(HEALTH, subject, client):
        assert "says" in found[check], (check, found[check])
        says = found[check]["says"]
        # some clients give the body, in which Triton says nothing and the transformer says it in JSON
        assert says is True or says == "" or set(json.loads(says).values()) <= {True, "secondread"}, (check, says)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("subject", SUBJECTS)
def test_answers_are_those_of_onnxruntime(
    outcome: Callable[..., Any], truth: dict[str, Outputs], subject: str, client: str
) -> None:
    found = outcome(subject, client)
    for check in asked(INFER, subject, client):
        says = found[check]["says"]
        assert says["model"] == "secondread"
        assert says["version"] == (None if client == "kserve_rest" else "3")  # the SDK does not read it there
        np.testing.assert_allclose(says["tensors"]["probabilities"], truth[subject].probabilities, atol=1e-6)
        assert says["shapes"]["probabilities"] == [IMAGES, 3]
    assert found["infer_id"]["says"]["id"] == "request-7"


@pytest.mark.parametrize("client", CLIENTS)
def test_the_transformer_answers_in_words(outcome: Callable[..., Any], truth: dict[str, Outputs], client: str) -> None:
    tensors = outcome("transformer", client)["infer"]["says"]["tensors"]
    assert list(tensors) == list(contract.DATATYPES)
    labels = np.array(("cxr-normal", "cxr-covid", "cxr-opacity"))
    assert tensors["label"] == labels[truth["transformer"].probabilities.argmax(axis=1)].tolist()
    assert all(isinstance(each, bool) for each in tensors["out_of_distribution"])


@pytest.mark.parametrize("client", [client for client in CLIENTS if client not in LESS])
@pytest.mark.parametrize("subject", SUBJECTS)
def test_only_the_outputs_that_are_asked_for(outcome: Callable[..., Any], subject: str, client: str) -> None:
    assert list(outcome(subject, client)["infer_some_outputs"]["says"]["tensors"]) == ["probabilities"]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("subject", SUBJECTS)
def test_what_is_wrong_is_refused_with_a_sentence(outcome: Callable[..., Any], subject: str, client: str) -> None:
    found = outcome(subject, client)
    for check in asked(WRONG, subject, client):
        assert len(found[check]["refused"]) > 10, (check, found[check])


@pytest.mark.parametrize("client", [client for client in CLIENTS if client not in LESS])
@pytest.mark.parametrize("subject", SUBJECTS)
def test_metadata(outcome: Callable[..., Any], subject: str, client: str) -> None:
    found = outcome(subject, client)
    server = found["server_metadata"]["says"]
    assert server["name"]
    assert server["version"]
    assert any("binary" in extension for extension in server["extensions"])
    for check in ("model_metadata", "version_metadata"):
        model = found[check]["says"]
        assert (model["name"], model["versions"]) == ("secondread", ["3"])
        assert model["platform"]
        (given,) = model["inputs"]
        assert (given["name"], given["datatype"]) == (
            ("image", "BYTES") if subject == "transformer" else ("pixels", "UINT8")
        )
        shapes = {each["name"]: list(map(int, each["shape"])) for each in model["outputs"]}
        assert shapes["probabilities"] == [-1, 3]
