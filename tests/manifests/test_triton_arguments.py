"""The ServingRuntime's arguments start a real Triton, and the service's probes find it.

Triton here is the local one; NVIDIA's image of the runtime is newer and cannot be run in a test.
"""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import time

import numpy as np
import onnx
import pytest
import tritonclient.http
from onnx import TensorProto, helper

from secondread.export.repository.triton_config import GPU_CONFIG_FILE, TRITON_CONFIG_FILE, on_gpu
from secondread.serving.local import triton
from secondread.serving.local.triton_installation import TritonInstallation

CONFIG = """
name: "secondread"
backend: "onnxruntime"
default_model_filename: "model.onnx"
max_batch_size: 4
input [ { name: "pixels" data_type: TYPE_UINT8 dims: [ 1, 8, 8 ] } ]
output [ { name: "mean" data_type: TYPE_FP32 dims: [ 1 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A model repository with one small graph: the mean of the pixels."""
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["float"], ["flat"]),
        helper.make_node("ReduceMean", ["flat"], ["mean"], axes=[1], keepdims=1),
    ]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", 1, 8, 8])
    mean = helper.make_tensor_value_info("mean", TensorProto.FLOAT, ["batch", 1])
    graph = helper.make_graph(nodes, "mean", [pixels], [mean])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    folder = tmp_path_factory.mktemp("models")
    for each in ("1", "configs"):
        (folder / "secondread" / each).mkdir(parents=True)
    (folder / "secondread" / TRITON_CONFIG_FILE).write_text(CONFIG)
    (folder / "secondread" / GPU_CONFIG_FILE).write_text(on_gpu(CONFIG))
    onnx.save(model, folder / "secondread" / "1" / "model.onnx")
    return folder


class Served:
    """A Triton started with the manifest's arguments, its ports moved to free ones."""

    def __init__(self, runtime, repository, home):
        (container,) = runtime["spec"]["containers"]
        command, *self.arguments = container["args"]
        assert command == "tritonserver"
        ports = iter(triton._free_ports(3))
        self.ports = {name: next(ports) for name in ("grpc-port", "http-port", "metrics-port")}
        self.manifest_ports = {name: _value(self.arguments, name) for name in self.ports}
        given = [self._here(argument, repository) for argument in self.arguments]
        self._start(given, home)

    def _here(self, argument, repository):
        name = argument.removeprefix("--").partition("=")[0]
        if name in self.ports:
            return f"--{name}={self.ports[name]}"
        return argument.replace("/mnt/models", str(repository))

    def _start(self, arguments, home):
        installation = TritonInstallation.find()
        self.log = home / "triton.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [
                    *triton._END_WITH_PARENT,
                    installation.server,
                    f"--backend-directory={installation.backend.parents[1]}",
                    *arguments,
                ],
                env=installation.variables(2),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def probe(self, command):
        """Run a probe of the manifest, on this server's port."""
        there, here = f":{self.manifest_ports['http-port']}/", f":{self.ports['http-port']}/"
        command = [part.replace(there, here) for part in command]
        return subprocess.run(command, capture_output=True).returncode == 0

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


def _value(arguments, name):
    (value,) = [argument.partition("=")[2] for argument in arguments if argument.startswith(f"--{name}=")]
    return value


@pytest.fixture(scope="module")
def probes(render):
    (service,) = [d for d in render("kserve/services/standard") if d["kind"] == "InferenceService"]
    model = service["spec"]["predictor"]["model"]
    return {name: model[name]["exec"]["command"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}


@pytest.fixture(scope="module")
def served(render, probes, repository, tmp_path_factory):
    (runtime,) = [d for d in render("kserve/runtimes") if d["kind"] == "ServingRuntime"]
    server = Served(runtime, repository, tmp_path_factory.mktemp("home"))
    try:
        deadline = time.monotonic() + 60
        while not server.probe(probes["startupProbe"]):
            log = server.log.read_text(errors="replace")
            assert time.monotonic() < deadline, log
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.process.wait(0.1)
                pytest.fail(f"Triton refused the manifest's arguments:\n{log}")
        yield server
    finally:
        server.stop()


def test_the_probes_find_it(served, probes):
    assert all(served.probe(command) for command in probes.values())


def test_every_model_of_the_folder_is_loaded_and_answers(served):
    client = tritonclient.http.InferenceServerClient(f"127.0.0.1:{served.ports['http-port']}")
    assert [model["state"] for model in client.get_model_repository_index()] == ["READY"]
    pixels = np.arange(64, dtype=np.uint8).reshape(1, 1, 8, 8)
    tensor = tritonclient.http.InferInput("pixels", list(pixels.shape), "UINT8")
    tensor.set_data_from_numpy(pixels)
    assert client.infer("secondread", [tensor]).as_numpy("mean") == pytest.approx(pixels.mean())
    client.close()


@pytest.mark.parametrize(("port", "reachable"), [("grpc-port", False), ("http-port", False), ("metrics-port", True)])
def test_only_the_metrics_are_open_beyond_the_pods_loopback(port, reachable, served):
    # 127.0.0.2 is this machine too, but not the address that the manifest binds.
    with socket.socket() as connection:
        connection.settimeout(5)
        assert (connection.connect_ex(("127.0.0.2", served.ports[port])) == 0) == reachable


def test_what_it_got_is_what_the_manifest_says(served):
    log = served.log.read_text(errors="replace")
    assert re.search(r"model_control_mode\s*\|\s*MODE_EXPLICIT", log)
    assert re.search(r"strict_model_config\s*\|\s*1", log)


def test_on_a_gpu_it_takes_the_repositorys_other_configuration_and_misses_the_gpu(
    render, repository, tmp_path, monkeypatch
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (runtime,) = [d for d in render("manifests/overlays/gpu") if d["kind"] == "ServingRuntime"]
    server = Served(runtime, repository, tmp_path)
    try:
        assert server.process.wait(60) != 0
    finally:
        server.stop()
    said = server.log.read_text(errors="replace")
    assert re.search(r"instance group secondread_0 of model secondread has kind KIND_GPU but", said), said
