"""Every folder that can be applied renders, and says the same each time."""

from __future__ import annotations

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
BUILDS = sorted(
    str(path.parent.relative_to(REPOSITORY))
    for top in ("kserve", "manifests")
    for path in (REPOSITORY / top).rglob("kustomization.yaml")
)
OVERLAYS = [build for build in BUILDS if build.startswith("manifests/overlays/")]


def test_the_builds_that_the_readme_names_are_there():
    services = {f"kserve/services/{name}" for name in ("standard", "standard-canary", "knative", "knative-canary")}
    assert services | {"kserve", "kserve/runtimes", "manifests/base", "manifests/overlays/dev"} <= set(BUILDS)
    assert {"manifests/ray/cluster", "manifests/ray/job"} <= set(BUILDS)


@pytest.mark.parametrize("build", BUILDS)
def test_renders_without_a_warning(build, render):
    documents = render(build)
    assert documents
    identities = [(document["kind"], document["metadata"]["name"]) for document in documents]
    assert len(identities) == len(set(identities))


@pytest.mark.parametrize("build", BUILDS)
def test_no_secret_is_in_the_repository(build, render):
    assert "Secret" not in {document["kind"] for document in render(build)}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_puts_everything_into_its_own_labelled_namespace(overlay, render):
    documents = render(overlay)
    (namespace,) = [document["metadata"]["name"] for document in documents if document["kind"] == "Namespace"]
    assert namespace == f"secondread-{Path(overlay).name}"
    for document in documents:
        assert document["metadata"]["labels"]["app.kubernetes.io/part-of"] == "secondread"
        if document["kind"] != "Namespace":
            assert document["metadata"]["namespace"] == namespace


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_is_small(overlay):
    lines = (REPOSITORY / overlay / "kustomization.yaml").read_text().splitlines()
    assert len(lines) <= 15


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_holds_a_runtime_and_a_service_that_uses_it(overlay, render):
    documents = render(overlay)
    runtimes = {document["metadata"]["name"] for document in documents if document["kind"] == "ServingRuntime"}
    accounts = {document["metadata"]["name"] for document in documents if document["kind"] == "ServiceAccount"}
    (service,) = [document for document in documents if document["kind"] == "InferenceService"]
    predictor = service["spec"]["predictor"]
    assert predictor["model"]["runtime"] in runtimes
    assert predictor["serviceAccountName"] in accounts


def test_the_folder_kserve_never_shadows_the_package():
    assert not list((REPOSITORY / "kserve").rglob("*.py"))
