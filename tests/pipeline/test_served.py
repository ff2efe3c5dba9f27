"""From end to end: what was registered answers, over each protocol, what `evaluate` wrote down for that image."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from secondread.data.pixels.preprocess import preprocess
from secondread.model.folder import WEIGHTS_FILE, ModelFolder
from secondread.model.session import GraphSession
from secondread.model.vit import ViT, ViTConfig
from secondread.pipeline.train_run import TrainRun

# Each protocol's client in a process of its own, as its users have it: path of a JSON job in, JSON answers out.
GRPC = """
import json, sys
import numpy as np
from tritonclient import grpc
job = json.load(open(sys.argv[1]))
images = np.array([open(path, "rb").read() for path in job["images"]], dtype=object)
tensor = grpc.InferInput("image", [len(images)], "BYTES")
tensor.set_data_from_numpy(images)
with grpc.InferenceServerClient(job["grpc_url"]) as client:
    result = client.infer("tiny", [tensor])
print(json.dumps([result.as_numpy("probabilities").tolist(), [each.decode() for each in result.as_numpy("label")]]))
"""
HTTP = """
import json, sys
import numpy as np
from tritonclient import http
job = json.load(open(sys.argv[1]))
images = np.array([open(path, "rb").read() for path in job["images"]], dtype=object)
tensor = http.InferInput("image", [len(images)], "BYTES")
tensor.set_data_from_numpy(images, binary_data=True)
with http.InferenceServerClient(job["url"].removeprefix("http://")) as client:
    result = client.infer("tiny", [tensor])
print(json.dumps([result.as_numpy("probabilities").tolist(), [each.decode() for each in result.as_numpy("label")]]))
"""


@dataclass(frozen=True)
class Judged:
    """Images of the test split, and what `evaluate` said of them."""

    paths: list[Path]
    labels: list[str]
    probabilities: np.ndarray


@pytest.fixture(scope="module")
def judged(first_run: TrainRun) -> Judged:
    predictions = pd.read_parquet(Path(first_run.report).with_name("predictions.parquet"))
    manifest = pd.read_parquet(Path(first_run.images, "manifest.parquet")).set_index("image_id")
    paths = [Path(first_run.images, manifest.loc[image_id, "path"]) for image_id in predictions["image_id"]]
    return Judged(paths, list(predictions["predicted"]), np.stack(predictions["probabilities"].to_list()))


@pytest.fixture(scope="module")
def served(first_run: TrainRun, pipeline: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The registered model behind `secondread serve`."""
    folder = tmp_path_factory.mktemp("served")
    ready = folder / "ready.json"
    command = [
        sys.executable,
        "-m",
        "secondread",
        "serve",
        "--repository",
        first_run.model_repository,
        "--name",
        "tiny",
    ]
    command += ["--http-port", "0", "--grpc-port", "0", "--ready-file", str(ready)]
    keys = str(pipeline.home / "keys" / "model-signing.pub")
    environment = {**os.environ, "SECONDREAD_HOME": str(folder), "SECONDREAD_TRUSTED_KEYS": keys}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            said = []
            for line in server.stderr:  # it says that it serves once it answers
                said.append(line)
                if "serving tiny" in line:
                    break
            assert ready.is_file(), "".join(said)
            yield json.loads(ready.read_text())
        finally:
            server.terminate()
        assert server.wait(timeout=30) == 0


def ask(client: str, served: dict[str, str], judged: Judged, tmp_path: Path) -> tuple[np.ndarray, list[str]]:
    job = {**served, "images": [str(path) for path in judged.paths]}
    (tmp_path / "job.json").write_text(json.dumps(job))
    command = [sys.executable, "-c", client, str(tmp_path / "job.json")]
    probabilities, labels = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return np.array(probabilities, np.float32).reshape(judged.probabilities.shape), labels


@pytest.mark.parametrize("client", [GRPC, HTTP], ids=["gRPC", "HTTP"])
def test_tritonclient_gets_what_evaluate_wrote_down(
    client: str, served: dict[str, str], judged: Judged, tmp_path: Path
) -> None:
    probabilities, labels = ask(client, served, judged, tmp_path)
    assert labels == judged.labels
    np.testing.assert_allclose(probabilities, judged.probabilities, atol=1e-4)


def test_curl_gets_what_evaluate_wrote_down(served: dict[str, str], judged: Judged, tmp_path: Path) -> None:
    path, label = judged.paths[0], judged.labels[0]
    data = [base64.b64encode(path.read_bytes()).decode()]
    request = {"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": data}]}
    (tmp_path / "request.json").write_text(json.dumps(request))
    url = f"{served['url']}/v2/models/tiny/infer"
    command = ["curl", "-sS", "--fail-with-body", "-d", f"@{tmp_path / 'request.json'}", url]
    answer: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    outputs = {output["name"]: output["data"] for output in answer["outputs"]}
    assert outputs["label"] == [label]
    assert answer["parameters"]["digest"]


def test_predict_says_the_same_with_a_server_and_without(
    served: dict[str, str], judged: Judged, first_run: TrainRun
) -> None:
    def labels(*options: str) -> list[str]:
        command = [sys.executable, "-m", "secondread", "predict", *map(str, judged.paths[:3]), "--json", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return [reading["label"] for reading in json.loads(done.stdout)]

    assert labels("--url", served["url"], "--name", "tiny") == judged.labels[:3]
    assert labels("--model", first_run.model) == judged.labels[:3]


def test_torch_onnxruntime_and_triton_agree(
    served: dict[str, str], judged: Judged, first_run: TrainRun, tmp_path: Path
) -> None:
    model = ModelFolder.open(first_run.model)
    assert model.config.graph == "fp32.onnx", "the comparison with torch is of the fp32 graph"
    pixels = np.stack([preprocess(path.read_bytes(), model.config.preprocessing) for path in judged.paths])[:, None]
    network = ViT(ViTConfig.from_dict(model.config.architecture)).eval()
    network.load_state_dict(load_file(model.root / WEIGHTS_FILE))
    with torch.inference_mode():
        logits = network(torch.from_numpy(pixels).float() / 255).logits
        margins = (logits.amax(dim=1, keepdim=True) - logits) / model.config.temperature
        torch_says = torch.softmax(-(margins**model.config.margin_power), dim=1).numpy()
    onnx_says = GraphSession(model.graph_path()).run(pixels).probabilities
    triton_says, _ = ask(GRPC, served, judged, tmp_path)
    np.testing.assert_allclose(onnx_says, torch_says, atol=1e-4)
    np.testing.assert_allclose(triton_says, torch_says, atol=1e-4)
