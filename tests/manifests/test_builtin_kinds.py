"""Kubernetes' own kinds validate against its published schemas, strictly: an unknown field is an error."""

from __future__ import annotations

from pathlib import Path

import kubernetes_validate
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
BUILDS = ["manifests/overlays/gpu"]  # the one of kserve/README.md
BUILDS += sorted(
    str(path.parent.relative_to(REPOSITORY))
    for top in ("kserve", "manifests")
    for path in (REPOSITORY / top).rglob("kustomization.yaml")
    if path.parts[-3] != "components"  # they render in an overlay alone
)
# The oldest that manifests/README.md supports, and the newest whose schemas are known here.
VERSIONS = ["1.32", kubernetes_validate.latest_version()]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_built_in_kind_validates(version, render):
    kinds = set()
    for build in BUILDS:
        for document in render(build):
            if not document["apiVersion"].startswith(("serving.kserve.io/", "ray.io/")):
                kubernetes_validate.validate(document, version, strict=True)
                kinds.add(document["kind"])
    assert kinds == {
        "Namespace",
        "ServiceAccount",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Role",
        "RoleBinding",
        "Lease",
        "PersistentVolumeClaim",
        "ConfigMap",
        "Deployment",
    }


def test_an_unknown_field_is_refused(render):
    (budget,) = [d for d in render("manifests/base") if d["kind"] == "PodDisruptionBudget"]
    budget["spec"]["maxUnavailabel"] = 1
    with pytest.raises(kubernetes_validate.ValidationError, match="maxUnavailabel"):
        kubernetes_validate.validate(budget, VERSIONS[0], strict=True)
