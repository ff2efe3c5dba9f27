"""Canaries and scaling are written in the fields that a deployment mode reads; others it would ignore or refuse.

Source of the rules: KServe 0.20, `inference_service_validation.go` (validateCanarySpecs and
validateAutoScalingCompExtension), `predictor.go` (reconcileCanaryDeployments) and `service_reconciler.go`; KEDA 2.17,
`scaletriggers_types.go`; Knative Serving 1.21, `k8s_validation.go` and `fieldmask.go`, with its default feature flags.
"""

from __future__ import annotations

import pytest

MODE = "serving.kserve.io/deploymentMode"
CANARY_FORBIDS = {"maxReplicas", "scaleTarget", "scaleMetric", "autoScaling", "workerSpec"}
PROBES = {"startupProbe", "readinessProbe", "livenessProbe"}
SCALER = "serving.kserve.io/autoscalerClass"
KNATIVE_POD_FORBIDS = {"securityContext", "terminationGracePeriodSeconds", "affinity", "topologySpreadConstraints"}


def mode_problems(service):
    """What is wrong with an InferenceService for the mode that its annotation names."""
    annotations = service["metadata"].get("annotations", {})
    mode = annotations.get(MODE)
    check = {"Standard": _standard_problems, "Knative": _knative_problems}.get(mode)
    if check is None:
        return [f"{MODE} is {mode}: Standard or Knative must be named"]
    return check(service["spec"], annotations.get(SCALER))


def _standard_problems(spec, scaler):
    predictor = spec["predictor"]
    problems = []
    if scaler not in ("none", "keda"):
        problems.append(f"{SCALER} is {scaler}: KServe would scale by the CPU")
    if ("autoScaling" in predictor) != (scaler == "keda"):
        problems.append("autoScaling and the class keda belong together")
    if scaler == "keda" and "canary" in spec:
        problems.append("KServe gives a canary a ScaledObject without a trigger: fixed replicas while there is one")
    if {"scaleTarget", "scaleMetric", "containerConcurrency"} & set(predictor):
        problems.append("Standard mode knows no scaling by concurrency but with KEDA")
    if "canaryTrafficPercent" in predictor:
        problems.append("Standard mode ignores predictor.canaryTrafficPercent: use spec.canary")
    names = [predictor.get("name", "")]
    for canary in spec.get("canary", []):
        names.append(canary["predictor"].get("name", ""))
        if forbidden := CANARY_FORBIDS & set(canary["predictor"]):
            problems.append(f"a canary has fixed replicas, not {sorted(forbidden)}")
        if canary["predictor"].get("minReplicas", 1) > predictor.get("minReplicas", 1):
            problems.append("a canary has at most as many replicas as the stable predictor")
        if canary["predictor"].get("model", {}).get("name") != "":
            problems.append("the schema of 0.20 asks for an empty model.name in a canary")
    if len(set(names)) < len(names):
        problems.append(f"predictor names {names} are not unique")
    if sum(canary["trafficPercent"] for canary in spec.get("canary", [])) > 100:
        problems.append("canaries take more than 100 %")
    return problems


def _knative_problems(spec, scaler):
    predictor = spec["predictor"]
    problems = []
    if scaler is not None or "autoScaling" in predictor:
        problems.append("Knative scales on its own: scaleMetric and scaleTarget")
    if "deploymentStrategy" in predictor:
        problems.append("Knative refuses deploymentStrategy")
    if "canary" in spec:
        problems.append("Knative mode refuses spec.canary: use predictor.canaryTrafficPercent")
    ports = [port for container in predictor["containers"] for port in container.get("ports", [])]
    if len(ports) != 1:
        problems.append(f"Knative takes one port in the pod, not {len(ports)}")
    if probes := PROBES & set(predictor["model"]):
        problems.append(f"Knative refuses {sorted(probes)} beside the serving container")
    if forbidden := KNATIVE_POD_FORBIDS & set(predictor):
        problems.append(f"Knative refuses {sorted(forbidden)} of the pod")
    if any("lifecycle" in container for container in [predictor["model"], *predictor["containers"]]):
        problems.append("Knative refuses lifecycle hooks")
    return problems


@pytest.fixture
def service(render):
    def read(build):
        (document,) = [document for document in render(build) if document["kind"] == "InferenceService"]
        return document

    return read


@pytest.mark.parametrize(
    ("build", "mode"),
    [
        ("manifests/overlays/dev", "Standard"),
        ("manifests/overlays/staging", "Standard"),
        ("manifests/overlays/canary", "Standard"),
        ("manifests/overlays/production", "Standard"),
        ("manifests/overlays/gpu", "Standard"),
        ("kserve/services/standard", "Standard"),
        ("kserve/services/standard-canary", "Standard"),
        ("kserve/services/knative", "Knative"),
        ("kserve/services/knative-canary", "Knative"),
    ],
)
def test_each_variant_suits_its_mode(build, mode, service):
    document = service(build)
    assert document["metadata"]["annotations"][MODE] == mode
    assert mode_problems(document) == []


def test_both_canaries_take_ten_percent(service):
    (canary,) = service("kserve/services/standard-canary")["spec"]["canary"]
    assert canary["trafficPercent"] == 10
    assert service("kserve/services/knative-canary")["spec"]["predictor"]["canaryTrafficPercent"] == 10


def test_the_canary_serves_another_model_than_the_stable_side(service):
    spec = service("kserve/services/standard-canary")["spec"]
    assert spec["canary"][0]["predictor"]["model"]["storageUri"] != spec["predictor"]["model"]["storageUri"]


def test_knatives_canary_field_is_refused_in_standard_mode(service):
    document = service("kserve/services/knative-canary")
    document["metadata"]["annotations"][MODE] = "Standard"
    assert "Standard mode ignores predictor.canaryTrafficPercent: use spec.canary" in mode_problems(document)


def test_standards_canary_field_is_refused_in_knative_mode(service):
    document = service("kserve/services/standard-canary")
    document["metadata"]["annotations"][MODE] = "Knative"
    problems = mode_problems(document)
    assert "Knative mode refuses spec.canary: use predictor.canaryTrafficPercent" in problems
    assert "Knative takes one port in the pod, not 2" in problems
    assert "Knative scales on its own: scaleMetric and scaleTarget" in problems


def test_a_canary_of_a_service_that_keda_scales_is_refused(service):
    document = service("manifests/overlays/gpu")
    document["spec"]["canary"] = service("kserve/services/standard-canary")["spec"]["canary"]
    assert mode_problems(document) == [
        "KServe gives a canary a ScaledObject without a trigger: fixed replicas while there is one"
    ]


def test_a_service_that_leaves_its_scaling_to_the_cluster_is_refused(service):
    document = service("kserve/services/standard")
    del document["metadata"]["annotations"][SCALER]
    assert mode_problems(document) == [f"{SCALER} is None: KServe would scale by the CPU"]


def test_a_service_that_leaves_its_mode_to_the_cluster_is_refused(service):
    document = service("kserve/services/standard")
    del document["metadata"]["annotations"][MODE]
    assert mode_problems(document) == [f"{MODE} is None: Standard or Knative must be named"]


def test_canaries_that_take_more_than_everything_are_refused(service):
    document = service("kserve/services/standard-canary")
    document["spec"]["canary"][0]["trafficPercent"] = 101
    assert mode_problems(document) == ["canaries take more than 100 %"]
