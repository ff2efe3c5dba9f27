"""What must hold of each container that would run, whichever variant is applied."""

from __future__ import annotations

import re

import pytest

import secondread
from secondread.config.serve import ServeConfig

BUILDS = [
    "manifests/overlays/dev",
    "manifests/overlays/staging",
    "manifests/overlays/canary",
    "manifests/overlays/production",
    "manifests/overlays/gpu",  # the one of kserve/README.md, on GPUs
    "kserve/services/standard",
    "kserve/services/standard-canary",
    "kserve/services/knative",
    "kserve/services/knative-canary",
]
TRITON, TRANSFORMER = "kserve-container", "transformer-container"


@pytest.fixture
def pod(render):
    """Containers by name, as KServe merges them from the runtime and the service."""

    def read(build):
        documents = render("kserve/runtimes") + render(build)
        runtime = [d for d in documents if d["kind"] == "ServingRuntime"][-1]  # an overlay has changed it
        (service,) = [d for d in documents if d["kind"] == "InferenceService"]
        predictor = service["spec"]["predictor"]
        containers = {container["name"]: container for container in runtime["spec"]["containers"]}
        containers[TRITON] |= {key: value for key, value in predictor["model"].items() if key != "name"}
        containers |= {container["name"]: container for container in predictor["containers"]}
        volumes = runtime["spec"]["volumes"] + predictor["volumes"]
        return containers, {volume["name"]: volume for volume in volumes}

    return read


def arguments(container):
    """`--name=value` arguments as a mapping; `--backend-config=onnxruntime,key=value` under `key`."""
    pairs = [argument.removeprefix("--") for argument in container["args"] if argument.startswith("--")]
    pairs = [pair.removeprefix("backend-config=onnxruntime,") for pair in pairs]
    return dict(pair.split("=", 1) if "=" in pair else (pair, "") for pair in pairs)


def cores(quantity):
    return int(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)


@pytest.mark.parametrize("build", BUILDS)
def test_a_pod_is_triton_and_the_transformer(build, pod):
    containers, _ = pod(build)
    assert set(containers) == {TRITON, TRANSFORMER}


@pytest.mark.parametrize("build", BUILDS)
def test_images_have_an_exact_tag(build, pod):
    containers, _ = pod(build)
    for container in containers.values():
        tag = container["image"].rpartition("/")[2].partition(":")[2]
        assert re.fullmatch(r"\d+\.\d+(\.\d+)?(-[a-z0-9]+)?", tag), container["image"]


@pytest.mark.parametrize("build", BUILDS)
def test_the_transformers_image_is_this_version(build, pod):
    containers, _ = pod(build)
    assert containers[TRANSFORMER]["image"] == f"ghcr.io/secondread/serving:{secondread.__version__}"


@pytest.mark.parametrize("build", BUILDS)
def test_containers_have_no_privilege(build, pod):
    containers, _ = pod(build)
    for container in containers.values():
        context = container["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] >= 1000
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["privileged"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}


@pytest.mark.parametrize("build", BUILDS)
def test_containers_have_requests_and_limits(build, pod):
    containers, _ = pod(build)
    for container in containers.values():
        for part in ("requests", "limits"):
            assert {"cpu", "memory"} <= set(container["resources"][part])
        assert cores(container["resources"]["requests"]["cpu"]) <= cores(container["resources"]["limits"]["cpu"])


@pytest.mark.parametrize("build", BUILDS)
def test_what_can_be_written_is_small_and_leaves_with_the_pod(build, pod):
    containers, volumes = pod(build)
    for container in containers.values():
        for mount in container["volumeMounts"]:
            if mount.get("readOnly"):
                continue
            assert mount["mountPath"] == "/tmp"  # noqa: S108 - in the container
            assert "sizeLimit" in volumes[mount["name"]]["emptyDir"]


@pytest.mark.parametrize("build", BUILDS)
def test_the_transformer_is_the_only_door(build, pod):
    containers, _ = pod(build)
    assert "ports" not in containers[TRITON]
    triton = arguments(containers[TRITON])
    assert triton["grpc-address"] == triton["http-address"] == "127.0.0.1"
    assert containers[TRANSFORMER]["ports"][0]["containerPort"] == 8080


@pytest.mark.parametrize("build", [build for build in BUILDS if "knative" not in build])
def test_rest_is_on_8080_and_grpc_on_8081(build, pod):
    containers, _ = pod(build)
    ports = {port["name"]: port["containerPort"] for port in containers[TRANSFORMER]["ports"]}
    assert ports == {"http": 8080, "grpc": 8081}


@pytest.mark.parametrize("build", BUILDS)
def test_the_transformer_finds_triton_and_the_model(build, pod, render):
    containers, _ = pod(build)
    transformer, triton = arguments(containers[TRANSFORMER]), arguments(containers[TRITON])
    assert transformer["predictor-host"] == f"localhost:{triton['http-port']}"
    assert transformer["model-dir"] == triton["model-repository"] == "/mnt/models"
    assert (transformer["http-port"], transformer["grpc-port"]) == ("8080", "8081")
    (service,) = [d for d in render(build) if d["kind"] == "InferenceService"]
    assert transformer["model-name"] == service["metadata"]["name"]
    assert f"/{transformer['model-name']}/" in service["spec"]["predictor"]["model"]["storageUri"]


@pytest.mark.parametrize("build", BUILDS)
def test_the_transformer_verifies_with_public_keys_and_no_other_container_has_them(build, pod):
    containers, volumes = pod(build)
    place = arguments(containers[TRANSFORMER])["trusted-keys"]
    mounts = {mount["mountPath"]: mount for mount in containers[TRANSFORMER]["volumeMounts"]}
    assert mounts[place]["readOnly"] is True
    assert volumes[mounts[place]["name"]]["configMap"] == {"name": "secondread-trusted-keys"}  # required: no `optional`
    assert mounts[place]["name"] not in {mount["name"] for mount in containers[TRITON]["volumeMounts"]}


@pytest.mark.parametrize("build", BUILDS)
def test_no_private_key_and_no_secret_is_in_a_pod_that_serves(build, pod):
    containers, volumes = pod(build)
    assert not any("secret" in volume for volume in volumes.values())
    for container in containers.values():
        assert not any("secretKeyRef" in str(entry) for entry in container.get("env", []))
        assert "envFrom" not in container


@pytest.mark.parametrize("build", BUILDS)
def test_the_ports_of_one_pod_do_not_meet(build, pod):
    containers, _ = pod(build)
    ports = [
        value
        for container in containers.values()
        for key, value in arguments(container).items()
        if key.endswith("-port")
    ]
    assert len(ports) == len(set(ports)) == 5


@pytest.mark.parametrize("build", BUILDS)
def test_the_storage_uri_is_not_on_the_transformer(build, pod):
    containers, _ = pod(build)
    assert "STORAGE_URI" not in {entry["name"] for entry in containers[TRANSFORMER].get("env", [])}


def test_models_change_by_an_explicit_call_only(pod):
    triton = arguments(pod("kserve/services/standard")[0][TRITON])
    assert (triton["model-control-mode"], triton["load-model"]) == ("explicit", "*")


@pytest.mark.parametrize("build", BUILDS[:3])
def test_onnxruntime_has_as_many_threads_as_the_pod_has_cores(build, pod):
    container = pod(build)[0][TRITON]
    triton = arguments(container)
    assert triton["enable-global-threadpool"] == "1"
    assert int(triton["intra_op_thread_count"]) == cores(container["resources"]["limits"]["cpu"])


@pytest.mark.parametrize("build", [build for build in BUILDS if "knative" not in build])
def test_both_containers_are_probed(build, pod):
    containers, _ = pod(build)
    for container in containers.values():
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container)
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert containers[TRANSFORMER][name]["httpGet"]["port"] == 8080
        (url,) = [part for part in containers[TRITON][name]["exec"]["command"] if part.startswith("http")]
        assert f":{arguments(containers[TRITON])['http-port']}/" in url


@pytest.mark.parametrize("build", [build for build in BUILDS if "knative" not in build])
def test_a_pod_that_stops_lets_the_transformer_finish_first(build, pod, render):
    containers, _ = pod(build)
    wait = {
        name: int(container["lifecycle"]["preStop"]["exec"]["command"][1]) for name, container in containers.items()
    }
    (service,) = [d for d in render(build) if d["kind"] == "InferenceService"]
    grace = service["spec"]["predictor"]["terminationGracePeriodSeconds"]
    assert wait[TRANSFORMER] + ServeConfig.drain_seconds <= wait[TRITON]
    assert wait[TRITON] + int(arguments(containers[TRITON])["exit-timeout-secs"]) < grace
