"""A training on somebody else's Ray cluster, through its job server."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from secondread.atomic import read_json
from secondread.data.versions.dataset import DatasetVersion
from secondread.errors import InputError
from secondread.model.folder import METRICS_FILE, ModelFolder
from secondread.training.submit import JobServer, Order

SETTINGS = [
    "train.preset=vit-test-32",
    "train.epochs=2",
    "train.batch_size=8",
    "train.processes=2",
    "train.threads=2",
    "train.explain=false",
    "train.audit_images=0",
]


@pytest.mark.full
def test_the_model_is_written_there_and_the_verdict_comes_here(ray_cluster, dataset: DatasetVersion, tmp_path: Path):
    server = JobServer.connect(ray_cluster.job_server)
    order = Order(data=str(dataset.root), output=str(tmp_path / "model"), settings=SETTINGS)
    job, log = server.submit(order, {"AWS_SECRET_ACCESS_KEY": "hush"}), io.StringIO()
    document = server.wait(job, log.write)

    assert ModelFolder.open(tmp_path / "model").config.dataset_version == dataset.content_hash
    assert document["model"] == str(tmp_path / "model")
    assert document["metrics"] == read_json(tmp_path / "model" / METRICS_FILE)
    assert "epoch 2 of 2: train loss" in log.getvalue()
    assert '"metrics"' not in log.getvalue()
    (sent,) = [info for info in server.client.list_jobs() if info.submission_id == job]
    assert "hush" not in str(sent)
    assert "py_modules" in sent.runtime_env


@pytest.mark.full
def test_an_error_there_is_the_same_error_here(ray_cluster, dataset: DatasetVersion, tmp_path: Path) -> None:
    server = JobServer.connect(ray_cluster.job_server)
    order = Order(data=str(dataset.root), output=str(tmp_path / "model"), settings=["train.preset=nonsense"])
    job = server.submit(order, {})
    with pytest.raises(InputError, match=rf"^job {job} on the cluster failed: there is no preset 'nonsense'\."):
        server.wait(job, io.StringIO().write)
