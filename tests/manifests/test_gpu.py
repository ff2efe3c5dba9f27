"""Triton on a GPU: it asks for one, and reads the configuration that a repository has for it."""

from __future__ import annotations

from pathlib import PurePath

import pytest

from secondread.export.repository.triton_config import GPU_CONFIG_FILE

GPU = "nvidia.com/gpu"


@pytest.fixture
def runtime(render):
    def read(build):
        (document,) = [document for document in render(build) if document["kind"] == "ServingRuntime"]
        return document["spec"]

    return read


def test_it_asks_for_one_gpu_and_may_run_where_gpus_are(runtime):
    spec = runtime("manifests/overlays/gpu")
    assert spec["containers"][0]["resources"]["limits"][GPU] == "1"
    assert spec["tolerations"] == [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}]


def test_it_reads_what_the_repository_has_for_gpus(runtime):
    (container,) = runtime("manifests/overlays/gpu")["containers"]
    configs, name = PurePath(GPU_CONFIG_FILE).parts
    assert configs == "configs"  # where Triton looks
    assert f"--model-config-name={name.removesuffix('.pbtxt')}" in container["args"]


def test_all_else_is_as_on_a_cpu(runtime):
    there, here = runtime("manifests/overlays/gpu"), runtime("kserve/runtimes")
    there.pop("tolerations")
    for spec in (there, here):
        del spec["containers"][0]["resources"]
    assert there["containers"][0].pop("args") == [
        *(a.replace("gpu-metrics=false", "gpu-metrics=true") for a in here["containers"][0].pop("args")),
        "--model-config-name=gpu",
    ]
    assert there == here


def test_a_cpu_pod_asks_for_none(runtime):
    assert GPU not in str(runtime("kserve/runtimes"))
