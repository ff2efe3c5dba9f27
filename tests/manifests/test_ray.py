"""Ray's cluster and job: pods without privilege that share memory and a volume, reachable by those with a token.

KubeRay's schemas are in no package. Kubernetes' part, the pods, is validated strictly against its own schema.
"""

from __future__ import annotations

import importlib.metadata
import re
import shlex

import kubernetes_validate
import pytest

import secondread

VERSIONS = ["1.32", kubernetes_validate.latest_version()]


@pytest.fixture
def cluster(render):
    """Spec of the cluster that waits for trainings."""
    (document,) = [d for d in render("manifests/ray/cluster") if d["kind"] == "RayCluster"]
    assert document["apiVersion"] == "ray.io/v1"
    return document["spec"]


@pytest.fixture
def job(render):
    """Spec of the training with a cluster of its own."""
    (document,) = [d for d in render("manifests/ray/job") if d["kind"] == "RayJob"]
    assert document["apiVersion"] == "ray.io/v1"
    return document["spec"]


@pytest.fixture
def pods(cluster, job):
    """Pod templates by name."""
    workers = {group["groupName"]: group["template"] for group in cluster["workerGroupSpecs"]}
    return {"head": cluster["headGroupSpec"]["template"], "submitter": job["submitterPodTemplate"], **workers}


PODS = ["head", "training", "submitter"]


def bytes_of(quantity):
    number, unit = re.fullmatch(r"(\d+)([MG]i)", quantity).groups()
    return int(number) * {"Mi": 2**20, "Gi": 2**30}[unit]


def test_a_job_has_the_cluster_that_waits_for_trainings(cluster, job, render):
    assert job["rayClusterSpec"] == cluster
    assert "RayCluster" not in {document["kind"] for document in render("manifests/ray/job")}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", PODS)
def test_kubernetes_knows_every_field_of_a_pod(name, version, pods):
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ray", **pods[name]["metadata"]}}
    kubernetes_validate.validate({**pod, "spec": pods[name]["spec"]}, version, strict=True)


@pytest.mark.parametrize("name", PODS)
def test_pods_have_no_privilege(name, pods):
    spec = pods[name]["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


@pytest.mark.parametrize("name", PODS)
def test_pods_have_limits_and_this_versions_image(name, pods):
    (container,) = pods[name]["spec"]["containers"]
    assert container["image"] == f"ghcr.io/secondread/pipeline-python:{secondread.__version__}"
    for part in ("requests", "limits"):
        assert {"cpu", "memory"} <= set(container["resources"][part])


@pytest.mark.parametrize("name", PODS[:2])
def test_shared_memory_is_a_volume_in_memory_and_ray_takes_a_part_of_it(name, pods, cluster):
    spec = pods[name]["spec"]
    (container,) = spec["containers"]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
    shared = mounts["/dev/shm"]["emptyDir"]  # noqa: S108 - in the container
    assert shared["medium"] == "Memory"
    assert bytes_of(shared["sizeLimit"]) < bytes_of(container["resources"]["limits"]["memory"])
    assert "sizeLimit" in mounts["/tmp"]["emptyDir"]  # noqa: S108 - likewise
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert int(group["rayStartParams"]["object-store-memory"]) < bytes_of(shared["sizeLimit"])


def test_every_pod_that_trains_mounts_one_volume_where_the_job_looks(pods, job):
    paths = {}
    for name in PODS[:2]:
        claims = {
            volume["name"]: volume["persistentVolumeClaim"]["claimName"]
            for volume in pods[name]["spec"]["volumes"]
            if "persistentVolumeClaim" in volume
        }
        (container,) = pods[name]["spec"]["containers"]
        paths |= {claims[m["name"]]: m["mountPath"] for m in container["volumeMounts"] if m["name"] in claims}
    assert paths == {"secondread-data": "/mnt/secondread"}
    words = shlex.split(job["entrypoint"])
    for option in ("--data", "--output"):
        assert words[words.index(option) + 1].startswith("/mnt/secondread/")


def test_the_job_trains_on_as_many_machines_as_the_cluster_has(job):
    words = shlex.split(job["entrypoint"])
    assert words[:4] == ["python", "-m", "secondread", "train"]
    assert words[words.index("--set") + 1] == "train.strategy=ray"
    (group,) = job["rayClusterSpec"]["workerGroupSpecs"]
    assert f"train.nodes={group['replicas']}" in words
    assert job["shutdownAfterJobFinishes"] is True


def test_ray_is_the_version_that_is_installed_with_the_library(cluster):
    assert cluster["rayVersion"] == importlib.metadata.version("ray")


def test_only_who_has_the_token_may_run_code_there(cluster, render):
    assert cluster["authOptions"] == {"mode": "token"}
    (policy,) = [d["spec"] for d in render("manifests/ray/cluster") if d["kind"] == "NetworkPolicy"]
    inside, outside = policy["ingress"]
    assert inside["from"] == [{"podSelector": policy["podSelector"]}]
    assert [port["port"] for port in outside["ports"]] == [8265]
    assert policy["podSelector"]["matchLabels"].items() <= (
        cluster["headGroupSpec"]["template"]["metadata"]["labels"].items()
    )
