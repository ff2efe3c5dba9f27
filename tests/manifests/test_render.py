"""Every folder that can be applied renders, and says the same each time."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
BUILDS = ["manifests/overlays/gpu"]  # the one of kserve/README.md
BUILDS += sorted(
    str(path.parent.relative_to(REPOSITORY))
    for top in ("kserve", "manifests")
    for path in (REPOSITORY / top).rglob("kustomization.yaml")
    if path.parts[-3] != "components"  # they render in an overlay alone
)
OVERLAYS = [build for build in BUILDS if build.startswith("manifests/overlays/")]
# Names under which a value would be a credential; the name of a Secret, or of a file of public keys, is none.
CREDENTIAL = re.compile(r"(?i)passw|token|secret_?(access_?)?key|access_?key|credential")


def test_the_builds_that_the_readme_names_are_there():
    services = {f"kserve/services/{name}" for name in ("standard", "standard-canary", "knative", "knative-canary")}
    assert services | {"kserve", "kserve/runtimes", "kserve/graph"} <= set(BUILDS)
    assert {"manifests/base", "manifests/rollout"} <= set(BUILDS)
    assert {f"manifests/overlays/{name}" for name in ("dev", "staging", "canary", "production")} <= set(BUILDS)
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


def credentials(value, at=""):
    """Places where a manifest says a credential instead of the Secret that holds it."""
    if isinstance(value, dict):
        if "value" in value and CREDENTIAL.search(str(value.get("name", ""))):
            yield f"{at}.{value['name']}"
        for key, item in value.items():
            if isinstance(item, str) and CREDENTIAL.search(key):
                yield f"{at}.{key}"
            yield from credentials(item, f"{at}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from credentials(item, f"{at}[{index}]")
    elif isinstance(value, str):
        option, _, given = value.partition("=")
        if re.search(r"://[^/\s]*@", value) or (given and option.startswith("--") and CREDENTIAL.search(option)):
            yield at


@pytest.mark.parametrize("build", BUILDS)
def test_no_credential_stands_in_a_manifest(build, render):
    assert list(credentials(render(build))) == []


@pytest.mark.parametrize(
    "entry",
    [
        {"env": [{"name": "AWS_SECRET_ACCESS_KEY", "value": "hunter2"}]},
        {"args": ["--set=serve.token=hunter2", "--auth-token=hunter2"]},
        {"serverAddress": "http://keda:hunter2@prometheus:9090"},
        {"password": "hunter2"},
    ],
)
def test_a_credential_in_a_manifest_is_found(entry):
    assert len(list(credentials(entry))) == 1


@pytest.mark.parametrize("overlay", [overlay for overlay in OVERLAYS if (REPOSITORY / overlay).is_dir()])
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
