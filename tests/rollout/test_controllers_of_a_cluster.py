"""`rollout control` as pods run it: real processes, and a stand-in for the API server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.rollout.splitters.kubernetes_api import LEASE, KubernetesApi, kubernetes_api, write_kubeconfig

Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def api() -> Iterator[KubernetesApi]:
    """A cluster with the Lease of the manifests."""
    with kubernetes_api() as made:
        made.objects[LEASE] = {"metadata": {"name": "secondread-rollout", "resourceVersion": "1"}}
        yield made


@pytest.fixture
def start(api: KubernetesApi, tmp_path: Path) -> Iterator[Start]:
    """Start a controller, which touches the file of that name."""
    config, started = write_kubeconfig(tmp_path / "config", api.url), []

    def start(name: str) -> subprocess.Popen[str]:
        settings = ["--set=control.splitter=kserve-canary", "--set=control.namespace=site"]
        settings.append("--set=control.observe.prometheus_url=http://127.0.0.1:9")
        heartbeat = f"--heartbeat={tmp_path / name}"
        process = subprocess.Popen(
            [sys.executable, "-m", "secondread", "rollout", "control", heartbeat, *settings],
            env={**os.environ, "KUBECONFIG": str(config), "SECONDREAD_HOME": str(tmp_path / "home")},
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()


def holder(api: KubernetesApi) -> Any:
    return api.objects[LEASE].get("spec", {}).get("holderIdentity", "")


def test_one_acts_the_next_waits_and_follows_when_it_is_asked_to_end(
    api: KubernetesApi, start: Start, tmp_path: Path
) -> None:
    first = start("first")
    api.wait_until(lambda: holder(api) != "")
    held = holder(api)
    second = start("second")
    assert any("waiting for the lease secondread-rollout" in line for line in second.stderr)
    assert {"first", "second"} <= {each.name for each in tmp_path.iterdir()}  # both say that they go on
    assert holder(api) == held
    first.send_signal(signal.SIGTERM)
    assert first.wait(60) == 0
    api.wait_until(lambda: holder(api) not in ("", held))
    second.send_signal(signal.SIGTERM)
    assert second.wait(60) == 0
    assert holder(api) == ""


def test_without_the_right_to_it_ends_and_says_which(api: KubernetesApi, start: Start) -> None:
    api.rules = []
    process = start("alone")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "{apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get]}" in said
