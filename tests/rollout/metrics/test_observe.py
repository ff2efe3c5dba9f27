"""What Prometheus says of a version, as figures: what is not known is never zero."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from secondread.config.control import ControlConfig
from secondread.config.observe import ObserveConfig, QueriesConfig
from secondread.errors import DependencyError, InputError
from secondread.rollout.analysis.observations import Histogram
from secondread.rollout.metrics.observe import observe_side
from secondread.rollout.metrics.prometheus import Prometheus, Sample
from tests.rollout.conftest import END, Answers, Vector


@pytest.fixture
def observe(prometheus: Answers) -> Callable[..., Any]:
    def ask(*, version: str = "4", **config: Any) -> Any:
        asked = ObserveConfig(prometheus_url=prometheus.url, **config)
        return observe_side(asked, "chest", version, start=END - 60, end=END)

    return ask


def test_every_figure_of_a_window_is_read(observe: Callable[..., Any]) -> None:
    side = observe()
    assert side.requests == {"200": 97.5, "503": 2}
    assert (side.total, side.failed) == (99.5, 2)
    assert side.seconds == Histogram((0.05, 0.3), (60, 30, 9.5))
    assert side.predictions == {"cxr-normal": 70, "cxr-covid": 0}
    assert side.confidence == Histogram((0.5,), (10, 60))
    assert side.out_of_distribution == 3
    assert side.drift == {"predictions_psi": 0.01}  # what is no number is not known
    assert (side.ready, side.restarts) == (None, None)


def test_one_version_is_asked_for_in_this_window_at_its_end(observe: Callable[..., Any], prometheus: Answers) -> None:
    observe()
    (requests,) = [query for query, _ in prometheus.asked if "requests_total" in query]
    series = 'secondread_requests_total{name="chest", version="4", namespace=~".*"}'
    assert requests == f"sum by (code) ({series} - {series} offset 60000ms >= 0 or increase({series}[60000ms]))"
    assert {at for _, at in prometheus.asked} == {"1000060.000"}


def test_of_several_namespaces_one_is_asked_for(observe: Callable[..., Any], prometheus: Answers) -> None:
    observe(namespace="secondread-production")
    for query, _ in prometheus.asked:  # of each of its series
        assert query.count('namespace=~"secondread-production"') == query.count('name="chest"') > 0
    with pytest.raises(InputError, match="cannot stand in a query"):
        observe(namespace='"} or vector(1)')


@pytest.mark.parametrize("figure", ["requests_total", "request_seconds", "predictions", "out_of_distribution"])
def test_a_figure_without_a_series_is_not_known(observe: Callable[..., Any], prometheus: Answers, figure: str) -> None:
    prometheus.by_metric[figure] = []
    side = observe()
    field = {"requests_total": "requests", "request_seconds": "seconds"}.get(figure, figure)
    assert getattr(side, field) is None


def test_buckets_that_extrapolation_put_out_of_order_are_empty_ones(
    observe: Callable[..., Any], prometheus: Answers
) -> None:
    prometheus.by_metric["confidence"] = [({"le": "0.2"}, "10.0000001"), ({"le": "0.5"}, "10"), ({"le": "+Inf"}, "12")]
    found = observe().confidence
    assert found.counts == pytest.approx((10, 0, 2), abs=1e-6)


def test_buckets_without_the_last_are_no_histogram(observe: Callable[..., Any], prometheus: Answers) -> None:
    prometheus.by_metric["confidence"] = [({"le": "0.2"}, "10"), ({"le": "0.5"}, "11")]
    assert observe().confidence is None


@pytest.mark.parametrize("scraped", [[], [({}, "1000014.9")], [({}, "NaN")]])
def test_of_a_version_that_was_not_scraped_lately_nothing_is_known(
    observe: Callable[..., Any], prometheus: Answers, scraped: Vector
) -> None:
    prometheus.by_metric["in_flight"] = scraped
    assert observe() is None


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"data": {"resultType": "matrix", "result": []}}', b"x" * (1 << 23)]
)
def test_what_is_no_answer_is_nothing_known(observe: Callable[..., Any], prometheus: Answers, body: bytes) -> None:
    prometheus.body = body
    assert observe() is None


def test_of_a_prometheus_that_is_gone_nothing_is_known() -> None:
    gone = ObserveConfig(prometheus_url="http://127.0.0.1:1")
    assert observe_side(gone, "chest", "4", start=END - 60, end=END) is None


@pytest.mark.parametrize(
    ("metric", "figure", "vector", "says"),
    [
        ("requests_total", "requests", [({"code": "OK"}, "3")], "requests are counted by HTTP status, such as 200"),
        ("requests_total", "requests", [({"code": "200"}, "-3")], "a number that is not negative"),
        ("out_of_distribution", "out_of_distribution", [({}, "-1")], "a number that is not negative"),
        ("confidence", "confidence", [({"le": "0.5"}, "1"), ({"le": "0.5"}, "1"), ({"le": "+Inf"}, "1")], "ascend"),
        ("request_seconds", "seconds", [({"le": "half"}, "1"), ({"le": "+Inf"}, "1")], "half"),
    ],
)
def test_a_query_whose_answer_cannot_be_is_named_and_nothing_is_known(
    observe: Callable[..., Any],
    prometheus: Answers,
    caplog: pytest.LogCaptureFixture,
    metric: str,
    figure: str,
    vector: Vector,
    says: str,
) -> None:
    prometheus.by_metric[metric] = vector
    assert observe() is None
    assert f"what Prometheus says of observe.queries.{figure} cannot be, `" in caplog.text
    assert says in caplog.text


def test_of_what_speaks_no_http_nothing_is_known(no_http: str) -> None:
    with pytest.raises(DependencyError, match=r"did not answer `up` \(SSH-2\.0"):
        Prometheus(no_http, timeout_seconds=5).query("up", at=END)
    assert observe_side(ObserveConfig(prometheus_url=no_http), "chest", "4", start=END - 60, end=END) is None


def test_a_query_that_it_does_not_understand_is_said_in_its_own_words(prometheus: Answers) -> None:
    prometheus.status, prometheus.body = 400, b'{"status": "error", "error": "parse error: unclosed left brace"}'
    with pytest.raises(DependencyError, match=r"`up\{` \(400, parse error: unclosed left brace\)"):
        Prometheus(prometheus.url, timeout_seconds=5).query("up{", at=END)


def test_infinite_values_are_values(prometheus: Answers) -> None:
    prometheus.by_metric["drift"] = [({"statistic": "a"}, "+Inf")]
    assert Prometheus(prometheus.url, timeout_seconds=5).query("drift", at=END) == [
        Sample({"statistic": "a"}, math.inf)
    ]


@pytest.mark.parametrize("version", ["", 'a"} or vector(1) #', "a\\", "a\nb"])
def test_what_would_be_another_query_is_refused(observe: Callable[..., Any], prometheus: Answers, version: str) -> None:
    with pytest.raises(InputError, match="cannot stand in a query"):
        observe(version=version)
    assert not prometheus.asked


def test_the_queries_are_settings(observe: Callable[..., Any], prometheus: Answers) -> None:
    queries = QueriesConfig(drift='max(secondread_drift{namespace="eyes", version="$version", x=~"a$$"})')
    observe(queries=queries)
    assert ('max(secondread_drift{namespace="eyes", version="4", x=~"a$"})', "1000060.000") in prometheus.asked


@pytest.mark.parametrize(
    "url",
    [
        "prometheus:9090",
        "ftp://prometheus",
        "http://",
        "http://:9090",
        "http://prometheus:90a0",
        "http://prometheus:0",
        "http://prometheus:99999",
        "http://prometheus:9090 ",
        "http://prometheus:9090/a\nb",
        "http://ada:secret@prometheus:9090",
        "http://[::1",
    ],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="prometheus_url must be http://host:port or https://host:port, the port a"):
        ObserveConfig(prometheus_url=url)
    with pytest.raises(InputError, match="webhook_url must be http://host:port") as refused:
        ControlConfig(webhook_url=url)
    assert f"'{url}'" not in str(refused.value)  # it may be secret


@pytest.mark.parametrize(
    "url", ["", "http://prometheus", "https://prometheus:9090/proxy/", "http://[::1]:9090", "HTTP://x:1"]
)
def test_an_address_is_taken(url: str) -> None:
    assert ControlConfig(observe=ObserveConfig(prometheus_url=url), webhook_url=url).webhook_url == url


@pytest.mark.parametrize(
    ("query", "message"),
    [(" ", "drift is empty"), ("a$", "a dollar that is no placeholder"), ("a{x='$model'}", "a placeholder model")],
)
def test_a_query_that_cannot_be_asked_is_refused(query: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        QueriesConfig(drift=query)
