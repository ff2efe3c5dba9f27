"""A candidate becomes the stable version under load, and an edge that is started again goes on from there."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from secondread.config.serve import ServeConfig
from secondread.errors import DependencyError
from secondread.rollout.splitters.edge_files import Status
from secondread.rollout.splitters.edge_process import EdgeProcess
from secondread.rollout.splitters.envoy import EnvoySplitter
from secondread.tracking.registry import RegisteredVersion
from tests.serving.steady_load import Load

START_SECONDS = 240  # in which a busy machine starts a server


def test_a_promotion_loses_no_request_and_outlives_the_edge(
    edge: Status,
    edge_process: EdgeProcess,
    home: Path,
    versions: list[RegisteredVersion],
    trusted: Path,
    film: Callable[..., bytes],
    wait_until: Callable[..., None],
) -> None:
    splitter, (_, second, _) = EnvoySplitter(home), versions
    with Load(edge, film(1)) as load:
        assert splitter.deploy(second).what == "version 2 is the candidate"
        assert splitter.deploy(second).what == "version 2 is the candidate already"
        wait_until(lambda: splitter.read().candidate.ready, seconds=START_SECONDS, what="the candidate to answer")
        splitter.set_split(50)
        assert splitter.promote(second).what == "version 2 is the stable one"
        assert not splitter.promote(second).changed
        promoted = time.monotonic()
        wait_until(lambda: load.answered_since(promoted, version="2"), seconds=60, what="answers of version 2")
        wait_until(lambda: servers(home) == {"2"}, seconds=60, what="version 1 to end")
        ended = time.monotonic()
        wait_until(lambda: load.answered_since(ended), seconds=60, what="answers")
    assert not load.broken
    assert {each.status for each in load.answers} == {"200", "OK"}
    assert {each.version for each in load.answers if each.at > ended} == {"2"}
    read = splitter.read()
    assert (read.stable.digest, read.candidate, read.candidate_percent) == (second.digest, None, 0)

    psutil.Process(edge_process.pid).kill()
    edge_process.wait()
    wait_until(lambda: not answers(splitter), seconds=60, what="Envoy to end with the edge that was killed")
    config = ServeConfig(http_port=0, grpc_port=0, threads=1, start_timeout_seconds=START_SECONDS)
    again = EdgeProcess(home, config, trusted=trusted, stable=None)
    try:
        again.wait_until_ready()
        there = splitter.read()
        moved = replace(read.stable, url=there.stable.url, grpc_url=there.stable.grpc_url)  # at ports of its own
        assert there == replace(read, stable=moved)
    finally:
        again.stop()
    with pytest.raises(DependencyError, match="does not run: start it"):
        splitter.read()


def test_a_splitter_without_an_edge_says_so(tmp_path: Path) -> None:
    with pytest.raises(DependencyError, match=r"no edge was started in .*: start one with the stable version first"):
        EnvoySplitter(tmp_path).read()


def answers(splitter: EnvoySplitter) -> bool:
    """Whether Envoy says how it shares the requests; what ends with the edge does so a moment later."""
    try:
        splitter.read()
    except DependencyError as error:
        assert "Envoy does not answer" in str(error)  # noqa: PT017 - until it does, there is no error
        return False
    return True


def servers(home: Path) -> set[str]:
    """Versions that have a server."""
    return set(json.loads((home / "edge/status.json").read_text())["servers"])
