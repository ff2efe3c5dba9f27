"""Who may reach the serving pods, and what they may reach."""

from __future__ import annotations

import pytest


@pytest.fixture
def policy(render):
    (document,) = [d for d in render("manifests/base") if d["kind"] == "NetworkPolicy"]
    return document["spec"]


def test_it_holds_for_every_inference_service_and_both_directions(policy):
    assert policy["podSelector"]["matchExpressions"] == [
        {"key": "serving.kserve.io/inferenceservice", "operator": "Exists"}
    ]
    assert policy["policyTypes"] == ["Ingress", "Egress"]


def test_no_rule_is_open_to_everyone(policy):
    assert all(rule.get("from") for rule in policy["ingress"])
    assert all(rule.get("to") for rule in policy["egress"])


def test_only_the_transformers_ports_and_metrics_are_reachable(policy):
    ports = {port["port"] for rule in policy["ingress"] for port in rule["ports"]}
    assert ports == {8080, 8081, 8002}


def test_the_pods_reach_names_and_the_object_store_alone(policy):
    labels = [
        label for rule in policy["egress"] for peer in rule["to"] for label in peer["namespaceSelector"]["matchLabels"]
    ]
    assert labels == ["kubernetes.io/metadata.name", "secondread/object-store"]


def test_the_disruption_budget_counts_the_pods_of_the_service(render):
    documents = render("manifests/overlays/dev")
    (budget,) = [d for d in documents if d["kind"] == "PodDisruptionBudget"]
    (service,) = [d for d in documents if d["kind"] == "InferenceService"]
    assert budget["spec"]["selector"]["matchLabels"] == {
        "serving.kserve.io/inferenceservice": service["metadata"]["name"]
    }
