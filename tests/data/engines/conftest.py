"""A running Ray cluster of two workers, as somebody else has started it."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import pytest

# read when Ray is imported, which nothing else here does; without it anyone on the network could use the cluster
os.environ["RAY_AUTH_MODE"] = "token"
os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)

_CLUSTER = """
import logging, sys, ray
ray.init(address="local", num_cpus=2, object_store_memory=200_000_000, include_dashboard=False, log_to_driver=False,
         logging_level=logging.ERROR, _temp_dir=sys.argv[1])
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[str]:
    """Its address; it ends when the last test has."""
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        command = [sys.executable, "-c", _CLUSTER, folder]
        with subprocess.Popen(command, env=environment, stdin=-1, stdout=-1, text=True) as cluster:
            assert cluster.stdin is not None
            assert cluster.stdout is not None
            yield cluster.stdout.readline().strip()
            cluster.stdin.close()
            assert cluster.wait(timeout=60) == 0
