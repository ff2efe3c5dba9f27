"""The InferenceGraph: a reading, and an explanation of what is not routine."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest

from secondread.config.serve import ServeConfig
from secondread.export.repository.layout import EXPLAIN_SUFFIX
from secondread.serving.protocol import contract
from secondread.taxonomy import URGENCIES


@pytest.fixture
def graph(render):
    (document,) = [document for document in render("kserve/graph") if document["kind"] == "InferenceGraph"]
    return document


@pytest.fixture
def steps(graph):
    (name, node), *others = graph["spec"]["nodes"].items()
    assert (name, node["routerType"], others) == ("root", "Sequence", [])
    return node["steps"]


def test_it_reads_and_then_explains_the_same_request(steps, render):
    (service,) = [document for document in render("kserve/services/standard") if document["kind"] == "InferenceService"]
    name = service["metadata"]["name"]
    urls = [urlsplit(step["serviceUrl"]) for step in steps]
    assert [url.path for url in urls] == [f"/v2/models/{name}{end}/infer" for end in ("", EXPLAIN_SUFFIX)]
    # Short names: found in the graph's own namespace, whichever overlay has it.
    assert {(url.scheme, url.netloc) for url in urls} == {("http", f"{name}-predictor")}
    assert steps[1]["data"] == "$request"


def test_an_error_ends_it_and_is_the_answer(steps):
    assert [step["dependency"] for step in steps] == ["Hard", "Hard"]


def test_what_it_asks_of_a_reading_is_what_a_reading_says(steps):
    assert "condition" not in steps[0]
    output, value = re.fullmatch(r'outputs\.#\(name=="(\w+)"\)\.data\.#\(!="(\w+)"\)', steps[1]["condition"]).groups()
    assert output in contract.DATATYPES
    assert (output, value) == ("urgency", "routine")
    assert value in URGENCIES


def test_the_router_waits_as_long_as_a_reader_may_take(graph):
    limits, config = graph["spec"]["routerTimeouts"], ServeConfig()
    assert limits["serverRead"] == config.body_timeout_seconds
    assert limits["serviceClient"] > config.url_timeout_seconds + config.predictor_timeout_seconds
    assert limits["serverWrite"] > limits["serverRead"] + 2 * limits["serviceClient"]


def test_the_router_has_memory_for_sixteen_of_the_largest_requests(graph):
    resources = graph["spec"]["resources"]
    assert {"cpu", "memory"} <= set(resources["requests"]) & set(resources["limits"])
    memory = resources["limits"]["memory"]
    assert int(memory.removesuffix("Gi")) << 30 >= 16 * 2 * ServeConfig().max_request_bytes


def test_a_node_can_be_drained_while_it_answers(graph, render):
    assert graph["spec"]["minReplicas"] >= 2
    assert graph["metadata"]["annotations"] == {
        "serving.kserve.io/deploymentMode": "Standard",
        "serving.kserve.io/autoscalerClass": "none",
    }
    (budget,) = [document["spec"] for document in render("kserve/graph") if document["kind"] == "PodDisruptionBudget"]
    assert budget == {"maxUnavailable": 1, "selector": {"matchLabels": label(graph)}}


def label(graph):
    """By which KServe marks the router's pods."""
    return {"serving.kserve.io/inferencegraph": graph["metadata"]["name"]}


def test_the_router_speaks_with_the_reader_alone_and_with_whom_the_reader_does(graph, steps, render):
    (policy,) = [document["spec"] for document in render("kserve/graph") if document["kind"] == "NetworkPolicy"]
    (readers,) = [document["spec"] for document in render("manifests/base") if document["kind"] == "NetworkPolicy"]
    assert policy["podSelector"]["matchLabels"] == label(graph)
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    (inside,) = policy["ingress"]
    assert inside["from"] == readers["ingress"][0]["from"]
    assert [port["port"] for port in inside["ports"]] == [8080]
    names, reader = policy["egress"]
    assert names in readers["egress"]
    service = urlsplit(steps[0]["serviceUrl"]).netloc.removesuffix("-predictor")
    assert reader["to"] == [{"podSelector": {"matchLabels": {"serving.kserve.io/inferenceservice": service}}}]
    assert [port["port"] for port in reader["ports"]] == [8080]
