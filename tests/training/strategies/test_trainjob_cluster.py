"""A TrainJob on a cluster: what is asked of it, checked with the SDK's models, and what comes back.

In place of a cluster stands a small API server, to which the real SDK speaks over HTTP. It runs the node of a job as a
process here, as Kubeflow's torch runtime would: the command of the TrainJob with the variables of the runtime.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from kubernetes.config import kube_config

from secondread.config.train import TrainConfig
from secondread.config.trainjob import TrainJobSettings
from secondread.data.versions.dataset import DatasetVersion
from secondread.errors import DependencyError, InputError
from secondread.training.strategies.job import Job
from secondread.training.strategies.trainjob import fit_with_trainjob
from secondread.training.strategies.trainjob_node import meeting_of

RUNTIME = {
    "apiVersion": "trainer.kubeflow.org/v1alpha1",
    "kind": "ClusterTrainingRuntime",
    "metadata": {"name": "torch-distributed", "labels": {"trainer.kubeflow.org/framework": "torch"}},
    "spec": {
        "mlPolicy": {"numNodes": 1, "torch": {}},
        "template": {
            "spec": {
                "replicatedJobs": [
                    {
                        "name": "node",
                        "template": {
                            "metadata": {"labels": {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}},
                            "spec": {"template": {"spec": {"containers": [{"name": "node", "image": "pytorch"}]}}},
                        },
                    }
                ]
            }
        },
    },
}


class Cluster(ThreadingHTTPServer):
    """Keeps TrainJobs, and runs them where `runs` says so."""

    def __init__(self, *, runs: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.runs = runs
        self.jobs: list[dict[str, Any]] = []
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def create(self, job: dict[str, Any]) -> dict[str, Any]:
        job["metadata"] |= {"namespace": "default", "creationTimestamp": "2026-01-01T00:00:00Z"}
        self.jobs.append(job)
        if self.runs:
            command = [sys.executable, *job["spec"]["trainer"]["command"][1:]]
            variables = {**os.environ, "PET_NNODES": "1", "PET_NPROC_PER_NODE": "auto"}
            process = subprocess.Popen(command, env=variables, stderr=subprocess.DEVNULL)
            self.processes[job["metadata"]["name"]] = process
        return job

    def get(self, name: str) -> dict[str, Any]:
        (job,) = [job for job in self.jobs if job["metadata"]["name"] == name]
        code = self.processes[name].poll() if self.runs else 1
        if code is not None:
            condition = {"type": "Failed" if code else "Complete", "status": "True", "message": "", "reason": "Ended"}
            job["status"] = {"conditions": [{**condition, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}
        return job


class _Handler(BaseHTTPRequestHandler):
    server: Cluster

    def do_GET(self) -> None:
        what, _, name = self.path.partition("?")[0].rpartition("/")
        if what.endswith("/trainjobs"):
            self._answer(self.server.get(name))
        elif what.endswith("/clustertrainingruntimes"):
            self._answer(RUNTIME)
        elif name == "pods":
            self._answer({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": []})
        else:
            self._answer({"kind": "Status", "status": "Failure"}, 404)

    def do_POST(self) -> None:
        self._answer(self.server.create(json.loads(self.rfile.read(int(self.headers["Content-Length"])))))

    def _answer(self, document: dict[str, Any], code: int = 200) -> None:
        data = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Cluster]]:
    """Start one: `cluster(runs=True)`."""
    started: list[Cluster] = []

    def start(*, runs: bool) -> Cluster:
        server = Cluster(runs=runs)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        started.append(server)
        configured(f"http://127.0.0.1:{server.server_port}", tmp_path, monkeypatch)
        return server

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def configured(url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the SDK find a cluster at this URL."""
    named = {"cluster": "here", "user": "me"}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": named}],
        "clusters": [{"name": "here", "cluster": {"server": url}}],
        "users": [{"name": "me", "user": {}}],
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(document))
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(folder / "kubeconfig"))


@pytest.fixture
def settings(dataset: DatasetVersion) -> TrainJobSettings:
    """Of a cluster whose volume is where tests write."""
    return TrainJobSettings(
        image="ghcr.io/secondread/pipeline-python:0.1.0",
        claim="films",
        mount=str(dataset.root.parents[1]),
        namespace="default",
        gpu="amd.com/gpu",
        node_labels={"pool": "gpu"},
    )


@pytest.fixture
def make_job(dataset: DatasetVersion, quick: Callable[..., TrainConfig], tmp_path: Path) -> Callable[..., Job]:
    """Make a job with a recipe."""

    def make(**recipe: object) -> Job:
        work = tmp_path / "work"
        work.mkdir()
        config = quick(**{"strategy": "trainjob", "processes": 1, "max_failures": 0, **recipe})
        return Job(str(dataset.root), asdict(config), str(work))

    return make


@pytest.mark.full
def test_the_node_of_a_cluster_hands_its_weights_over(
    cluster: Callable[..., Cluster], make_job: Callable[..., Job], settings: TrainJobSettings
) -> None:
    server = cluster(runs=True)
    fitted = fit_with_trainjob(make_job(accelerator="cpu"), settings)
    assert len(fitted.epochs) == 2
    assert all(torch.isfinite(tensor).all() for tensor in fitted.state.values())
    assert len(server.jobs) == 1


def test_what_is_asked_of_the_cluster_is_what_the_sdk_knows(
    cluster: Callable[..., Cluster], make_job: Callable[..., Job], settings: TrainJobSettings
) -> None:
    from kubeflow_trainer_api import models

    server = cluster(runs=False)
    job = make_job(processes=4, nodes=2, batch_size=16)
    with pytest.raises(DependencyError, match=r"^TrainJob \w+ failed, as did 0 before it\. Its nodes said nothing"):
        fit_with_trainjob(job, settings)
    (asked,) = server.jobs
    del asked["status"]
    parsed = models.TrainerV1alpha1TrainJob.from_dict(asked)
    assert parsed is not None
    assert parsed.spec.runtime_ref.name == "torch-distributed"
    assert parsed.spec.trainer.num_nodes == 2
    assert parsed.spec.trainer.image == settings.image
    command = ["python", "-m", "secondread.training.strategies.trainjob_node", str(Path(job.work) / "job.json")]
    assert parsed.spec.trainer.command == command
    resources = asked["spec"]["trainer"]["resourcesPerNode"]
    assert resources["limits"] == resources["requests"] == {"cpu": "4", "memory": "16Gi", "amd.com/gpu": 4}

    (patch,) = asked["spec"]["runtimePatches"]
    (node,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    pod = node["template"]["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"pool": "gpu"}
    assert pod["securityContext"]["runAsNonRoot"] is True
    volumes = {volume.pop("name"): volume for volume in pod["volumes"]}
    (container,) = pod["containers"]
    mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
    assert mounts == {
        settings.mount: {"persistentVolumeClaim": {"claimName": "films"}},
        "/dev/shm": {"emptyDir": {"medium": "Memory", "sizeLimit": "2Gi"}},  # noqa: S108 - in the pod
    }


def test_a_job_that_fails_is_started_again(
    cluster: Callable[..., Cluster], make_job: Callable[..., Job], settings: TrainJobSettings
) -> None:
    server = cluster(runs=False)
    with pytest.raises(DependencyError, match="failed, as did 1 before it"):
        fit_with_trainjob(make_job(max_failures=1), settings)
    assert len({job["metadata"]["name"] for job in server.jobs}) == 2


def test_a_cluster_that_does_not_answer_is_named(
    make_job: Callable[..., Job], settings: TrainJobSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured("http://127.0.0.1:9", tmp_path, monkeypatch)
    with pytest.raises(DependencyError, match="Kubeflow Trainer does not answer"):
        fit_with_trainjob(make_job(), settings)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"image": ""}, "a TrainJob needs SECONDREAD_TRAINJOB_IMAGE"),
        ({"claim": ""}, "and SECONDREAD_TRAINJOB_CLAIM"),
        ({"mount": "/mnt/elsewhere"}, "is not below /mnt/elsewhere, where the nodes mount the claim films"),
    ],
)
def test_what_the_nodes_would_not_see_is_refused(
    changed: dict[str, str], message: str, make_job: Callable[..., Job], settings: TrainJobSettings
) -> None:
    with pytest.raises(InputError, match=message):
        fit_with_trainjob(make_job(), TrainJobSettings(**{**asdict(settings), **changed}))


def test_settings_come_from_the_environment() -> None:
    read = TrainJobSettings.read(
        {"SECONDREAD_TRAINJOB_IMAGE": "i", "SECONDREAD_TRAINJOB_NODE_LABELS": "pool=gpu,zone=a"}
    )
    assert read == TrainJobSettings(image="i", node_labels={"pool": "gpu", "zone": "a"})
    with pytest.raises(InputError, match="expected NAME=VALUE"):
        TrainJobSettings.read({"SECONDREAD_TRAINJOB_NODE_LABELS": "gpu"})


def test_nodes_meet_where_kubeflow_says() -> None:
    assert meeting_of({"PET_NNODES": "1"}) is None
    meeting = meeting_of(
        {"PET_NNODES": "2", "PET_NODE_RANK": "1", "PET_MASTER_ADDR": "job-node-0-0.job", "PET_MASTER_PORT": "29400"}
    )
    assert meeting is not None
    assert asdict(meeting) == {"nodes": 2, "node": 1, "address": "job-node-0-0.job", "port": 29400}
