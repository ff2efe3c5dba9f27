"""The first protocol says what the second says, of the same images."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from kserve import InferenceRESTClient, RESTConfig

from secondread.model.session import Outputs
from secondread.serving.protocol import contract

LABELS = ("cxr-normal", "cxr-covid", "cxr-opacity")


def b64(data: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(data).decode()}


def predict(served: Any, document: Any, *, model: str = "secondread") -> tuple[int, Any]:
    request = urllib.request.Request(f"{served.url}/v1/models/{model}:predict", json.dumps(document).encode())
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.mark.parametrize("instance", [lambda data: {"image": b64(data)}, b64], ids=["named", "bare"])
def test_predictions_are_those_of_onnxruntime(
    served: Any, film: Callable[..., bytes], expected: Callable[..., Outputs], instance: Callable[[bytes], Any]
) -> None:
    films = [film(1), film(2, kind="JPEG")]
    status, answer = predict(served, {"instances": [instance(data) for data in films]})
    assert status == 200
    bare = expected(*films)
    for index, prediction in enumerate(answer["predictions"]):
        assert set(prediction) == set(contract.DATATYPES)
        assert list(prediction["probabilities"]) == list(LABELS)
        np.testing.assert_allclose(list(prediction["probabilities"].values()), bare.probabilities[index], atol=1e-6)
        assert prediction["label"] == LABELS[bare.probabilities[index].argmax()]
        assert prediction["image_id"] == hashlib.sha256(films[index]).hexdigest()
        uuid.UUID(prediction["reading_id"])
    assert (answer["model_version"], answer["notice"]) == ("3", contract.NOTICE)


def test_the_kserve_client_reads_it(served: Any, film: Callable[..., bytes]) -> None:
    async def ask() -> Any:
        async with InferenceRESTClient(RESTConfig(protocol="v1", retries=0)) as client:
            return await client.infer(served.url, {"instances": [b64(film(1))]}, "secondread")

    assert asyncio.run(ask())["predictions"][0]["label"] in LABELS


@pytest.mark.parametrize(
    ("document", "status", "says"),
    [
        ([], 400, "no JSON object"),
        ({}, 400, "'instances' is no list"),
        ({"instances": []}, 400, "at least 1"),
        ({"instances": ["text"]}, 400, "instance 0 has no base64"),
        ({"instances": [{"image": "text"}]}, 400, "instance 0 has no base64"),
        ({"instances": [{"b64": "****"}]}, 400, "image 0 is not base64"),
        ({"instances": [{"b64": "YQ=="}]}, 400, "image 0: "),
        ({"instances": [{"b64": "YQ=="}] * 33}, 413, "33 images"),
    ],
)
def test_a_wrong_request_is_told_what_to_change(served: Any, document: Any, status: int, says: str) -> None:
    got, answer = predict(served, document)
    assert (got, list(answer)) == (status, ["error"])
    assert says in answer["error"]


def test_another_model_is_a_404(served: Any, film: Callable[..., bytes]) -> None:
    assert predict(served, {"instances": [b64(film(1))]}, model="other")[0] == 404


def test_the_model_says_that_it_is_ready(served: Any) -> None:
    for path, document in (
        ("/v1/models", {"models": ["secondread", "secondread-explain"]}),
        ("/v1/models/secondread", {"name": "secondread", "ready": True}),
    ):
        with urllib.request.urlopen(served.url + path, timeout=30) as response:
            assert json.load(response) == document
