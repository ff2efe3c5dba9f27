"""How Triton is told to run a graph, as Triton's own message types read it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from secondread.errors import IntegrityError
from secondread.export.repository.triton_config import on_gpu, renamed_triton_config, triton_config
from secondread.model.folder import ModelFolder

# Triton's own message types are an independent reader; they do not fit into a process with the KServe SDK.
PARSE = """
import sys
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2
config = text_format.Parse(sys.stdin.read(), model_config_pb2.ModelConfig())
print(json_format.MessageToJson(config, preserving_proto_field_name=True))
"""


def parse(config: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-c", PARSE], input=config, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_triton_understands_the_configuration(model: ModelFolder) -> None:
    config = parse(triton_config(model, "chest"))
    assert (config["name"], config["backend"], config["max_batch_size"]) == ("chest", "onnxruntime", 32)
    assert config["input"] == [{"name": "pixels", "data_type": "TYPE_UINT8", "dims": ["1", "32", "32"]}]
    outputs = {each["name"]: (each["data_type"], each["dims"]) for each in config["output"]}
    assert outputs == {
        "probabilities": ("TYPE_FP32", ["3"]),
        "embedding": ("TYPE_FP32", ["8"]),
        "ood_score": ("TYPE_FP32", ["1"]),
    }
    assert "dynamic_batching" in config
    assert config["instance_group"] == [{"count": 1, "kind": "KIND_CPU"}]
    assert config["parameters"]["intra_op_thread_count"] == {"string_value": "2"}


def test_on_a_gpu_it_is_the_same_model_in_full_precision(model: ModelFolder) -> None:
    text = triton_config(model, "chest")
    here, there = parse(text), parse(on_gpu(text))
    assert there.pop("instance_group") == [{"count": 1, "kind": "KIND_GPU"}]
    accelerators = {"gpu_execution_accelerator": [{"name": "cuda", "parameters": {"use_tf32": "0"}}]}
    assert there.pop("optimization") == {"execution_accelerators": accelerators}
    assert there["parameters"].pop("cudnn_conv_algo_search") == {"string_value": "1"}
    assert there == {key: value for key, value in here.items() if key != "instance_group"}


def test_triton_understands_the_one_that_explains(explaining: ModelFolder) -> None:
    config = parse(triton_config(explaining, "chest-explain", explaining.explain_path()))
    assert (config["name"], config["max_batch_size"]) == ("chest-explain", 8)
    (saliency,) = [each for each in config["output"] if each["name"] == "saliency"]
    assert saliency == {"name": "saliency", "data_type": "TYPE_FP32", "dims": ["32", "32"]}
    assert config["model_warmup"][0]["inputs"]["pixels"]["dims"] == ["1", "32", "32"]


def test_a_configuration_gets_another_name(model: ModelFolder) -> None:
    text = triton_config(model, "chest")
    renamed = renamed_triton_config(text, "chest.7")
    assert renamed == text.replace('name: "chest"', 'name: "chest.7"')
    with pytest.raises(IntegrityError, match="no line `name:`"):
        renamed_triton_config('backend: "onnxruntime"', "chest.7")
