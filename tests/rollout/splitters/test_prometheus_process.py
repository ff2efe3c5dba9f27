"""A real Prometheus, which reads what a transformer counts: what is decided by is what was counted."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import start_http_server

from secondread.atomic import write_json
from secondread.config.mapping import from_mapping
from secondread.config.observe import ObserveConfig
from secondread.config.prometheus import PrometheusConfig
from secondread.errors import DependencyError, InputError
from secondread.rollout.metrics.observe import observe_side
from secondread.rollout.metrics.prometheus import Prometheus
from secondread.rollout.splitters.prometheus_process import PrometheusProcess
from secondread.serving.transformer.admission import Admission
from secondread.serving.transformer.metrics import REQUESTS, Measures, watch_queue
from tests.serving.conftest import wait_for

SCRAPE_SECONDS = 0.2
NAME = "of-test-prometheus"
CLASSES = ("cxr-covid", "cxr-normal")


class Watched:
    """A Prometheus that reads the figures of this process, as if it were a transformer."""

    def __init__(self, process: PrometheusProcess) -> None:
        self.process = process
        self.config = ObserveConfig(prometheus_url=process.url, stale_seconds=10 * SCRAPE_SECONDS)

    def value(self, promql: str) -> float | None:
        found = Prometheus(self.process.url, timeout_seconds=10).query(promql, at=time.time())
        return found[0].value if found else None

    def wait_for(self, promql: str, value: float) -> None:
        wait_for(lambda: self.value(promql) == value, seconds=60, what=f"{promql} to be {value:g}")

    def begin(self) -> float:
        """A time after which it has read all anew: a reading has the time at which it began."""
        start = time.time()
        wait_for(lambda: (self.value("min(timestamp(up))") or 0) > start, seconds=60, what="another reading")
        return start

    def wait_until_read(self, version: str, *, code: str = "200", count: float = 0) -> float:
        """Wait until it has read a count; gives a time at which it had."""
        self.wait_for(f'secondread_requests_total{{name="{NAME}", version="{version}", code="{code}"}}', count)
        return time.time()

    def side(self, version: str, start: float, end: float) -> Any:
        return observe_side(self.config, NAME, version, start=start, end=end)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    home = tmp_path_factory.mktemp("prometheus")
    server, thread = start_http_server(0, addr="127.0.0.1")
    write_json(home / "targets.json", [{"targets": [f"127.0.0.1:{server.server_port}"], "labels": {}}])
    process = PrometheusProcess(home, home / "targets.json", PrometheusConfig(0, SCRAPE_SECONDS))
    process.start(threading.Event())
    yield Watched(process)
    process.stop()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def version(request: pytest.FixtureRequest) -> str:
    """A version of the test's own."""
    return request.node.name


@pytest.fixture
def measures(version: str, prometheus: Watched) -> Measures:
    """The figures of that version, before anything was asked of it, which Prometheus has read."""
    made = Measures(NAME, version, CLASSES)
    watch_queue(Admission(max_requests=1, max_bytes=1), NAME, version)
    prometheus.wait_until_read(version)
    return made


def test_a_version_s_first_failure_is_seen(prometheus: Watched, measures: Measures, version: str) -> None:
    start = prometheus.begin()
    measures.request(200, 0.02)
    measures.request(500, 0.02)
    end = prometheus.wait_until_read(version, code="500", count=1)
    side = prometheus.side(version, start, end)
    assert (side.requests["200"], side.requests["500"], side.total) == (1, 1, 2)


def test_in_windows_one_after_the_other_every_request_is_counted_once(
    prometheus: Watched, measures: Measures, version: str
) -> None:
    chance, pause = random.Random(1), threading.Event()
    edges, counted = [prometheus.begin()], {"200": 0, "500": 0}
    while len(edges) < 7:
        code = 500 if chance.random() < 0.1 else 200
        measures.request(code, 0.02)
        counted[str(code)] += 1
        pause.wait(0.01)
        if time.time() > edges[-1] + 5 * SCRAPE_SECONDS:
            edges.append(edges[-1] + 5 * SCRAPE_SECONDS)
    timed = f'secondread_request_seconds_count{{version="{version}", stage="total"}}'  # what is noted last
    prometheus.wait_for(timed, sum(counted.values()))
    sides = [prometheus.side(version, start, end) for start, end in pairwise([*edges, time.time()])]
    for code, count in counted.items():
        assert sum(side.requests[code] for side in sides) == count
        assert all(side.requests[code].is_integer() for side in sides)
    assert sum(side.seconds.total for side in sides) == sum(counted.values())


def test_what_was_counted_before_it_was_read_first_belongs_to_no_window(prometheus: Watched, version: str) -> None:
    """A Prometheus that comes late takes not all that a server ever did for one window's."""
    start = prometheus.begin()
    measures = Measures(NAME, version, CLASSES)
    watch_queue(Admission(max_requests=1, max_bytes=1), NAME, version)
    for _ in range(1000):
        measures.request(500, 0.02)
    prometheus.wait_until_read(version, code="500", count=1000)
    measures.request(200, 0.02)
    end = prometheus.wait_until_read(version, count=1)
    assert prometheus.side(version, start, end).requests["500"] == 0


def test_a_count_that_begins_anew_in_a_window_goes_on_from_there(
    prometheus: Watched, measures: Measures, version: str
) -> None:
    for _ in range(100):
        measures.request(200, 0.02)
    prometheus.wait_until_read(version, count=100)
    start = prometheus.begin()
    measures.request(200, 0.02)
    prometheus.wait_until_read(version, count=101)
    REQUESTS.remove(NAME, version, "200")
    for _ in range(30):
        measures.request(200, 0.02)
    prometheus.wait_until_read(version, count=30)
    end = start + 10 * SCRAPE_SECONDS
    wait_for(lambda: time.time() > end, seconds=60, what="several readings")
    # Of such a window Prometheus has no difference, and puts what lies between its readings to the window's scale.
    assert 30 <= prometheus.side(version, start, end).requests["200"] <= 31 * 10 / 7


def test_of_a_version_that_nobody_serves_nothing_is_known(prometheus: Watched) -> None:
    assert prometheus.side("404", time.time() - 10, time.time()) is None


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = PrometheusProcess(tmp_path, tmp_path / "targets.json", PrometheusConfig(port))
        with pytest.raises(DependencyError, match=f"cannot listen on 127.0.0.1:{port}: .* another --prometheus-port"):
            process.start(threading.Event())


def test_where_it_is_not_installed_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    process = PrometheusProcess(tmp_path, tmp_path / "targets.json", PrometheusConfig(0))
    with pytest.raises(DependencyError, match="not installed: `apt-get install prometheus`"):
        process.start(threading.Event())


@pytest.mark.parametrize(
    "setting", [{"port": -1}, {"scrape_seconds": 0.0}, {"retention_days": 0}, {"retention_mib": 0}]
)
def test_a_setting_that_cannot_be_is_refused(setting: dict[str, float]) -> None:
    (name,) = setting
    with pytest.raises(InputError, match=f"^{name} must be "):
        from_mapping(PrometheusConfig, setting, stage="")
