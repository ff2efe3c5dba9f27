"""An edge on this machine: a real Envoy, and behind it real servers of tiny models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from secondread.config.serve import ServeConfig
from secondread.rollout.splitters.edge_files import Deployed, Status
from secondread.rollout.splitters.edge_process import EdgeProcess
from secondread.tracking.registry import RegisteredVersion
from tests.manifests.conftest import composed, parse, render  # noqa: F401 - fixtures
from tests.serving.conftest import (  # noqa: F401 - fixtures
    bare,
    model,
    models,
    repositories,
    signer,
    trusted,
    wait_until,
)


@pytest.fixture(scope="session")
def versions(repositories: list[Path]) -> list[RegisteredVersion]:  # noqa: F811
    """Versions 1, 2 and 3, as the registry has them."""
    return [
        RegisteredVersion("secondread", number, folder.name, str(folder), "", "")
        for number, folder in enumerate(repositories, 1)
    ]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the edge writes."""
    return tmp_path_factory.mktemp("edge")


@pytest.fixture(scope="module")
def edge_process(home: Path, versions: list[RegisteredVersion], trusted: Path) -> Iterator[EdgeProcess]:  # noqa: F811
    """The edge, with version 1 as the stable one."""
    config = ServeConfig(http_port=0, grpc_port=0, threads=1, start_timeout_seconds=300)
    process = EdgeProcess(home, config, trusted=trusted, stable=Deployed.of(versions[0]))
    yield process
    process.stop()


@pytest.fixture(scope="module")
def edge(edge_process: EdgeProcess) -> Status:
    """Where it listens, once it does."""
    return edge_process.wait_until_ready()
