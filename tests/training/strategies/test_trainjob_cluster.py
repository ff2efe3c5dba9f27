"""A TrainJob on a cluster: what is asked of it, checked with the SDK's models, and what comes back.

In place of a cluster stands the small API server of `trainjob_cluster`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
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
from secondread.training.epochs import EpochFigures
from secondread.training.fit import Fitted
from secondread.training.strategies import trainjob, trainjob_left
from secondread.training.strategies.job import Job, write_fitted
from secondread.training.strategies.trainjob import fit_with_trainjob
from secondread.training.strategies.trainjob_node import meeting_of
from tests.training.strategies.trainjob_cluster import Cluster

MANUAL = Path(__file__).parents[3] / "docs" / "clusters.md"


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
    assert len(server.created) == 1
    assert not server.jobs  # it is done, and its results are here


def test_what_is_asked_of_the_cluster_is_what_the_sdk_knows(
    cluster: Callable[..., Cluster], make_job: Callable[..., Job], settings: TrainJobSettings
) -> None:
    from kubeflow_trainer_api import models

    server = cluster(runs=False)
    job = make_job(processes=4, nodes=2, batch_size=16)
    with pytest.raises(DependencyError, match=r"^TrainJob \w+ failed, as did 0 before it\. Its nodes said nothing"):
        fit_with_trainjob(job, settings)
    (asked,) = server.jobs.values()  # one that failed stays, to be looked at
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


def test_a_job_that_fails_is_started_again_when_its_pods_have_ended(
    cluster: Callable[..., Cluster], make_job: Callable[..., Job], settings: TrainJobSettings
) -> None:
    server = cluster(runs=False)
    server.lingers = 1
    with pytest.raises(DependencyError, match="failed, as did 1 before it"):
        fit_with_trainjob(make_job(max_failures=1), settings)
    assert len(server.created) == 2
    assert server.most == 1


@pytest.fixture
def left(
    cluster: Callable[..., Cluster],
    make_job: Callable[..., Job],
    settings: TrainJobSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[Cluster, Job]:
    """A cluster with a job that trains on, since whoever waited for it saw the cluster no more."""
    monkeypatch.setattr(trainjob, "_UNANSWERED", 0)
    server, job = cluster(runs=False), make_job()
    server.code, server.away = None, True
    with pytest.raises(DependencyError, match="Kubeflow Trainer does not answer"):
        fit_with_trainjob(job, settings)
    server.away = False
    return server, job


def test_a_job_that_was_left_is_waited_for_and_deleted_when_it_is_done(
    left: tuple[Cluster, Job], settings: TrainJobSettings, caplog: pytest.LogCaptureFixture
) -> None:
    server, job = left
    server.code = 0
    figures = EpochFigures(1, 0.5, 0.4, 0.9, 1e-3, 100.0)
    write_fitted(Fitted({"weight": torch.ones(2)}, 1, [figures], 1.0), Path(job.work), rank=0)
    with caplog.at_level("INFO"):
        fitted = fit_with_trainjob(job, settings)
    assert torch.equal(fitted.state["weight"], torch.ones(2))
    assert f"TrainJob {server.created[0]}, which an earlier run started, is waited for" in caplog.text
    assert len(server.created) == 1
    assert not server.jobs


@pytest.mark.parametrize("ended", ["failed", "deleted"])
def test_one_that_failed_or_is_deleted_is_gone_before_another_starts(
    ended: str, left: tuple[Cluster, Job], settings: TrainJobSettings
) -> None:
    server, job = left
    if ended == "deleted":
        server.lingers = 2
        server.delete(server.created[0], "propagationPolicy=Foreground")
    server.code = 1
    with pytest.raises(DependencyError, match="failed, as did 0 before it"):
        fit_with_trainjob(job, settings)
    assert len(server.created) == 2
    assert server.most == 1


def test_one_that_does_not_go_away_lets_no_other_start(
    left: tuple[Cluster, Job], settings: TrainJobSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainjob_left, "_GONE_SECONDS", 0.0)
    server, job = left
    server.code, server.lingers = 1, 100
    name = server.created[0]
    with pytest.raises(DependencyError, match=rf"^TrainJob {name} does not go away, .*jobset-name={name}; of a node"):
        fit_with_trainjob(job, settings)
    assert len(server.created) == 1


def test_a_job_that_somebody_deletes_ends_the_run(
    left: tuple[Cluster, Job], settings: TrainJobSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, job = left
    real = trainjob_left.job_left

    def deleted(client: Any, work: Path) -> str:
        name = real(client, work)
        server.delete(name, "propagationPolicy=Foreground")
        return name

    monkeypatch.setattr(trainjob, "job_left", deleted)
    with pytest.raises(DependencyError, match=rf"^TrainJob {server.created[0]} was deleted\. The same command"):
        fit_with_trainjob(job, settings)


def test_the_roles_of_the_manual_allow_what_is_asked_of_the_cluster(
    cluster: Callable[..., Cluster], make_job: Callable[..., Job], settings: TrainJobSettings
) -> None:
    server = cluster(runs=False)
    with pytest.raises(DependencyError, match="failed, as did 1 before it"):
        fit_with_trainjob(make_job(max_failures=1), settings)
    manual = MANUAL.read_text(encoding="utf-8").replace("\\\n", " ")
    roles = re.findall(r"kubectl (.*)create (\w+) ([\w-]+) --verb ([\w,]+)\s+--resource ([\w.,]+)", manual)
    bound = re.findall(r"create \w+binding [\w-]+ --((?:cluster)?role) ([\w-]+)\s+--serviceaccount", manual)
    assert sorted(bound) == sorted((kind, name) for _, kind, name, _, _ in roles)
    assert all(("--namespace" in scope) == (kind == "role") for scope, kind, *_ in roles)
    allowed = {
        (kind, verb, resource)
        for _, kind, _, verbs, resources in roles
        for verb in verbs.split(",")
        for resource in resources.split(",")
    }
    version_of_trainer = ("role", "get", "configmaps")  # the SDK does without
    assert server.asked - {version_of_trainer} <= allowed
    assert allowed - server.asked == {
        ("role", "get", "pods"),
        ("role", "list", "trainingruntimes.trainer.kubeflow.org"),
    }


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
