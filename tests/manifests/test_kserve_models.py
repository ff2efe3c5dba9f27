"""KServe's objects parse with the SDK's models, strictly: a field that KServe does not know is an error."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("kserve.model", reason="needs the extra `serve`; the folder kserve/ is no package")

REPOSITORY = Path(__file__).resolve().parents[2]
BUILDS = [
    *(f"manifests/overlays/{name}" for name in ("dev", "staging", "canary", "production")),
    "manifests/overlays/gpu",  # the one of kserve/README.md
    *(
        str(path.parent.relative_to(REPOSITORY))
        for path in sorted((REPOSITORY / "kserve").rglob("kustomization.yaml"))
        if path.parts[-3] != "components"  # they render in an overlay alone
    ),
]
MODELS = {
    "serving.kserve.io/v1beta1/InferenceService": "V1beta1InferenceService",
    "serving.kserve.io/v1alpha1/ServingRuntime": "V1alpha1ServingRuntime",
    "serving.kserve.io/v1alpha1/InferenceGraph": "V1alpha1InferenceGraph",
}


def kserve_objects(documents):
    for document in documents:
        if document["apiVersion"].startswith("serving.kserve.io/"):
            yield MODELS[f"{document['apiVersion']}/{document['kind']}"], document


@pytest.mark.parametrize("build", BUILDS)
def test_parses_and_loses_nothing(build, render, parse):
    from kubernetes.client import ApiClient

    parsed = 0
    for model, document in kserve_objects(render(build)):
        sent = ApiClient().sanitize_for_serialization(parse(model, document))
        if model == "V1beta1InferenceService":
            # The SDK's model spec has a name, empty unless given, and sends it.
            document["spec"]["predictor"]["model"].setdefault("name", "")
        assert sent == document
        parsed += 1
    assert parsed


@pytest.fixture
def service(render):
    (document,) = [d for d in render("kserve/services/standard-canary") if d["kind"] == "InferenceService"]
    return document


def test_an_unknown_field_is_refused_with_its_place(service, parse):
    service["spec"]["predictor"]["model"]["storageURI"] = "s3://typing/error"
    with pytest.raises(ValueError, match=r"spec\.predictor\.model: unknown field storageURI"):
        parse("V1beta1InferenceService", service)


def test_an_unknown_field_of_a_container_is_refused(service, parse):
    service["spec"]["predictor"]["containers"][0]["securityContext"]["readonlyRootFilesystem"] = True
    with pytest.raises(ValueError, match=r"containers\[0\]\.securityContext: unknown field readonlyRootFilesystem"):
        parse("V1beta1InferenceService", service)


def test_a_wrong_type_is_refused(service, parse):
    service["spec"]["canary"][0]["trafficPercent"] = "10"
    with pytest.raises(ValueError, match=r"canary\[0\]\.trafficPercent: expected int, got '10'"):
        parse("V1beta1InferenceService", service)


def test_an_unknown_field_of_a_graph_and_of_its_steps_is_refused(render, parse):
    (graph,) = [d for d in render("kserve/graph") if d["kind"] == "InferenceGraph"]
    graph["spec"]["nodes"]["root"]["steps"][1]["conditions"] = "true"
    with pytest.raises(ValueError, match=r"nodes\.root\.steps\[1\]: unknown field conditions"):
        parse("V1alpha1InferenceGraph", graph)


def test_an_unknown_field_of_how_it_scales_is_refused(render, parse):
    (service,) = [d for d in render("manifests/overlays/gpu") if d["kind"] == "InferenceService"]
    service["spec"]["predictor"]["autoScaling"]["metrics"][0]["external"]["metric"]["serverUrl"] = "http://prometheus"
    with pytest.raises(ValueError, match=r"metrics\[0\]\.external\.metric: unknown field serverUrl"):
        parse("V1beta1InferenceService", service)


def test_a_missing_required_field_is_refused(service, parse):
    del service["spec"]["predictor"]
    with pytest.raises(ValueError, match=r"spec: .*predictor"):
        parse("V1beta1InferenceService", service)
