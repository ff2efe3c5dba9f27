"""The edge's own Prometheus, real as all behind the edge: what a rollout is decided by is what callers got."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from secondread.config.observe import ObserveConfig
from secondread.config.prometheus import PrometheusConfig
from secondread.config.serve import ServeConfig
from secondread.rollout.analysis.observations import Side
from secondread.rollout.metrics.observe import observe_side
from secondread.rollout.metrics.prometheus import Prometheus
from secondread.rollout.splitters.edge_files import Deployed, EdgeFiles, Status
from secondread.rollout.splitters.edge_process import EdgeProcess
from secondread.rollout.splitters.envoy import EnvoySplitter
from secondread.tracking.registry import RegisteredVersion
from tests.serving.steady_load import Load

START_SECONDS = 240  # in which a busy machine starts a server
SCRAPE_SECONDS = 0.5
NAME = "secondread"


@pytest.fixture(scope="module")
def edge_process(home: Path, versions: list[RegisteredVersion], trusted: Path) -> Iterator[EdgeProcess]:
    """The edge with a Prometheus, and version 1 as the stable one."""
    config = ServeConfig(http_port=0, grpc_port=0, threads=1, start_timeout_seconds=300)
    process = EdgeProcess(
        home,
        config,
        trusted=trusted,
        stable=Deployed.of(versions[0]),
        prometheus=PrometheusConfig(port=0, scrape_seconds=SCRAPE_SECONDS),
    )
    yield process
    process.stop()


@pytest.fixture
def config(edge: Status) -> ObserveConfig:
    return ObserveConfig(prometheus_url=edge.prometheus_url, stale_seconds=5 * SCRAPE_SECONDS)


@pytest.fixture
def read(edge: Status) -> Callable[[str], float]:
    """What Prometheus says of one series now; 0 for none."""

    def value(promql: str) -> float:
        found = Prometheus(edge.prometheus_url, timeout_seconds=10).query(promql, at=time.time())
        return sum(each.value for each in found)

    return value


def test_each_version_s_figures_are_those_of_its_answers(
    edge: Status,
    config: ObserveConfig,
    read: Callable[[str], float],
    home: Path,
    versions: list[RegisteredVersion],
    film: Callable[..., bytes],
    wait_until: Callable[..., None],
) -> None:
    splitter, both = EnvoySplitter(home), ("1", "2")
    splitter.deploy(versions[1])
    wait_until(lambda: splitter.read().candidate.ready, seconds=START_SECONDS, what="the candidate to answer")
    wait_until(lambda: all(known(config, each) for each in both), seconds=60, what="Prometheus to read both")
    splitter.set_split(30)
    start, readings = time.time(), f'min(timestamp(secondread_requests_in_flight{{name="{NAME}"}}))'
    wait_until(lambda: read(readings) > start, seconds=60, what="another reading: each has the time at which it began")
    with Load(edge, film(1)) as load:
        wait_until(lambda: len(load.answers) >= 200, seconds=120, what="answers")
    with Load(edge, b"no film") as refused:
        wait_until(lambda: len(refused.answers) >= 40, seconds=120, what="refusals")
    asked = len(load.answers) + len(refused.answers)
    timed = f'sum(secondread_request_seconds_count{{name="{NAME}", stage="total"}})'  # what is noted last
    wait_until(lambda: read(timed) == asked, seconds=60, what="Prometheus to have read all")
    end = time.time()

    sides = {version: observe_side(config, NAME, version, start=start, end=end) for version in both}
    for version, side in sides.items():
        answers = [each for each in load.answers if each.version == version]
        assert side.requests["200"] == len(answers)
        assert side.failed == 0
        assert side.seconds.total == side.total
        labels = Counter(each.label for each in answers)
        assert {label: count for label, count in side.predictions.items() if count} == labels
        assert side.confidence.total == len(answers)
        above = sum(max(each.probabilities) > 0.5 for each in answers)
        assert side.confidence.above[side.confidence.bounds.index(0.5)] == above
        assert 0 <= side.out_of_distribution <= len(answers)
    assert sum(side.requests["400"] for side in sides.values()) == len(refused.answers)
    sent = 'sum(envoy_cluster_upstream_rq_total{envoy_cluster_name=~"version-2-.*"})'
    wait_until(lambda: read(sent) == sides["2"].total, seconds=60, what="Prometheus to have read the same of Envoy")

    splitter.remove()
    wait_until(lambda: known(config, "2") is None, seconds=60, what="version 2 to be gone")
    assert known(config, "1")
    assert "2" not in EdgeFiles(home).read_status().servers


def test_what_is_read_is_what_listens(edge: Status, home: Path) -> None:
    files = EdgeFiles(home)
    servers, envoy = json.loads(files.targets.read_text())
    listening = [each.url.removeprefix("http://") for each in files.read_status().servers.values()]
    assert servers == {"targets": listening, "labels": {"job": "secondread"}}
    assert f"http://{envoy['targets'][0]}{envoy['labels']['__metrics_path__']}" == edge.metrics_url


def test_a_prometheus_that_is_killed_is_nothing_known_and_comes_back_with_what_it_had(
    edge: Status,
    edge_process: EdgeProcess,
    config: ObserveConfig,
    read: Callable[[str], float],
    wait_until: Callable[..., None],
) -> None:
    wait_until(lambda: known(config, "1"), seconds=60, what="Prometheus to read version 1")
    before, end = known(config, "1"), time.time()
    (prometheus,) = [
        each for each in psutil.Process(edge_process.pid).children(recursive=True) if each.name() == "prometheus"
    ]
    prometheus.suspend()
    try:
        impatient = ObserveConfig(prometheus_url=edge.prometheus_url, timeout_seconds=0.2)
        assert known(impatient, "1") is None
    finally:
        prometheus.kill()
    assert known(config, "1") is None
    wait_until(lambda: known(config, "1"), seconds=60, what="Prometheus to be back on its port")
    assert before is not None
    assert known(config, "1", end=end) is not None


def known(config: ObserveConfig, version: str, *, end: float = 0.0) -> Side | None:
    """What is known of the last seconds of a version."""
    end = end or time.time()
    return observe_side(config, NAME, version, start=end - 5 * SCRAPE_SECONDS, end=end)
