"""How many pods there are: by the requests in flight, which the transformer counts."""

from __future__ import annotations

import re

import pytest

from secondread.config.serve import ServeConfig
from secondread.serving.transformer import metrics
from secondread.serving.transformer.admission import Admission

OVERLAY = "manifests/overlays/gpu"


@pytest.fixture
def predictor(render):
    def read(build):
        (service,) = [document for document in render(build) if document["kind"] == "InferenceService"]
        return service["spec"]["predictor"]

    return read


@pytest.fixture
def trigger(predictor):
    """What KEDA is told."""
    (metric,) = predictor(OVERLAY)["autoScaling"]["metrics"]
    assert metric["type"] == "External"
    return metric["external"]


def test_keda_asks_for_a_metric_that_the_transformer_gives(trigger, render):
    found = re.fullmatch(r"sum\(avg_over_time\((\w+)\{(.*)\}\[1m\]\)\)", trigger["metric"]["query"])
    labels = dict(re.findall(r'(\w+)="([^"]*)"', found[2]))
    (namespace,) = [document["metadata"]["name"] for document in render(OVERLAY) if document["kind"] == "Namespace"]
    assert labels.pop("namespace") == namespace  # Prometheus adds it
    metrics.watch_queue(Admission(max_requests=1, max_bytes=1), labels["name"], "of this test")
    samples = [sample for family in metrics.REQUESTS_IN_FLIGHT.collect() for sample in family.samples]
    metrics.REQUESTS_IN_FLIGHT.remove(labels["name"], "of this test")
    assert any(sample.name == found[1] and labels.items() <= sample.labels.items() for sample in samples)
    (service,) = [document for document in render(OVERLAY) if document["kind"] == "InferenceService"]
    assert labels == {"name": service["metadata"]["name"]}


def test_pods_are_added_long_before_requests_are_turned_away(trigger, predictor):
    # KServe passes `value` on and drops the other targets; KEDA divides the sum by it.
    assert set(trigger["target"]) == {"type", "value"}
    assert trigger["target"]["type"] == "Value"
    for target in (int(trigger["target"]["value"]), predictor("kserve/services/knative")["scaleTarget"]):
        assert 1 < target <= ServeConfig().max_in_flight // 2


@pytest.mark.parametrize("build", [OVERLAY, "kserve/services/knative", "kserve/services/knative-canary"])
def test_there_is_a_most_and_a_least(build, predictor):
    spec = predictor(build)
    assert 2 <= spec["minReplicas"] < spec["maxReplicas"] <= 10


@pytest.mark.parametrize("build", ["kserve/services/knative", "kserve/services/knative-canary"])
def test_knative_counts_requests_in_flight_and_never_queues_them(build, predictor):
    spec = predictor(build)
    assert spec["scaleMetric"] == "concurrency"
    assert "containerConcurrency" not in spec
