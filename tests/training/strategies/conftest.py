"""What strategies are compared with, and a running Ray cluster with a job server, as somebody else has started it."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import pytest
import torch

from secondread.config.train import TrainConfig
from secondread.data.versions.dataset import DatasetVersion
from secondread.training.fit import Fitted
from secondread.training.strategies.job import Job
from secondread.training.strategies.torchrun import fit_distributed

# read when Ray is imported; without it anyone on the network could use the cluster
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))

_CLUSTER = """
import json, logging, sys, ray
context = ray.init(address="local", num_cpus=3, object_store_memory=200_000_000, include_dashboard=True,
                   dashboard_host="127.0.0.1", dashboard_port=0, log_to_driver=False, logging_level=logging.ERROR,
                   _temp_dir=sys.argv[1])
print(json.dumps([ray.get_runtime_context().gcs_address, context.dashboard_url]), flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class Cluster:
    """Where it is.

    Attributes:
        address: host:port of its head.
        job_server: URL.
        pid: of the process that it ends with; all of its processes are below.
    """

    address: str
    job_server: str
    pid: int


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Cluster]:
    """Ends when the last test has."""
    # as with this environment activated: a job runs the `python` that the cluster finds
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "PATH": path}
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        command = [sys.executable, "-c", _CLUSTER, folder]
        with subprocess.Popen(command, env=environment, stdin=-1, stdout=-1, text=True) as cluster:
            assert cluster.stdin is not None
            assert cluster.stdout is not None
            address, dashboard = json.loads(cluster.stdout.readline())
            yield Cluster(address, f"http://{dashboard}", cluster.pid)
            cluster.stdin.close()
            assert cluster.wait(timeout=60) == 0


@pytest.fixture(scope="session")
def same_as_ddp(
    dataset: DatasetVersion, quick: Callable[..., TrainConfig], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., None]:
    """Require of a training of two processes that it came to what DDP does, bit for bit."""

    @cache
    def ddp(epochs: int) -> Fitted:
        recipe = quick(strategy="ddp", processes=2, threads=2, epochs=epochs)
        return fit_distributed(Job(str(dataset.root), asdict(recipe), str(tmp_path_factory.mktemp("ddp"))))

    def check(fitted: Fitted, *, epochs: int) -> None:
        expected = ddp(epochs)
        assert [figures.val_loss for figures in fitted.epochs] == [figures.val_loss for figures in expected.epochs]
        assert fitted.best_epoch == expected.best_epoch
        assert fitted.state.keys() == expected.state.keys()
        assert all(torch.equal(fitted.state[name], expected.state[name]) for name in expected.state)

    return check
