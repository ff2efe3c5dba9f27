"""What manifests/README.md tells the cluster's owner to do is what the manifests ask for."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "manifests/README.md").read_text()


def of_kind(documents, kind):
    (document,) = [document for document in documents if document["kind"] == kind]
    return document


def test_the_namespaces_are_labelled_as_the_network_policy_asks(render):
    builds = ("manifests/base", "manifests/ray/cluster", "manifests/rollout")
    policy = " ".join(str(of_kind(render(build), "NetworkPolicy")) for build in builds)
    assert set(re.findall(r"label namespace \S+ (\S+)=true", README)) == set(re.findall(r"secondread/[a-z-]+", policy))


def test_the_key_is_put_where_the_service_account_looks(render):
    documents = render("manifests/overlays/dev")
    (secret,) = of_kind(documents, "ServiceAccount")["secrets"]
    namespace = of_kind(documents, "Namespace")["metadata"]["name"]
    made = f"kubectl --namespace {namespace} create secret generic {secret['name']} "
    assert README.index(f"kubectl create namespace {namespace}\n") < README.index(made)


def test_the_public_keys_are_put_where_the_transformer_looks(render):
    predictor = of_kind(render("manifests/overlays/dev"), "InferenceService")["spec"]["predictor"]
    (keys,) = [volume["configMap"]["name"] for volume in predictor["volumes"] if "configMap" in volume]
    made = f"kubectl --namespace secondread-dev create configmap {keys} --from-file=keys/model-signing.pub"
    assert made in README


def test_the_private_key_is_put_where_the_register_step_looks():
    pods = runpy.run_path(str(REPOSITORY / "pipelines/pods.py"))
    secret = f"create secret generic {pods['SIGNING_KEY_SECRET']} --from-file=keys/model-signing.key"
    assert secret in README
    dockerfile = (REPOSITORY / "images/pipeline/Dockerfile").read_text()
    assert f"SECONDREAD_SIGNING_KEY_FILE={pods['SIGNING_KEY_PATH']}/model-signing.key" in dockerfile


def test_a_copied_model_lies_where_the_overlay_looks(render):
    predictor = of_kind(render("manifests/overlays/dev"), "InferenceService")["spec"]["predictor"]
    (copied,) = re.findall(r"aws s3 cp --recursive \S+/secondread/DIGEST (s3://\S+)", README)
    assert copied == re.sub("[0-9a-f]{64}", "DIGEST", predictor["model"]["storageUri"])


@pytest.mark.parametrize("path", ["manifests/README.md", "manifests/overlays/dev/inferenceservice.yaml"])
def test_nobody_is_told_to_deploy_the_path_of_a_laptop(path):
    assert not re.search(r"`secondread register` print", (REPOSITORY / path).read_text())


def test_the_transformers_share_is_what_the_readme_says(render):
    predictor = of_kind(render("manifests/overlays/dev"), "InferenceService")["spec"]["predictor"]
    (resources,) = [container["resources"] for container in predictor["containers"]]
    assert resources["requests"] == {"cpu": "500m", "memory": "512Mi"}
    assert resources["limits"] == {"cpu": "1", "memory": "4Gi"}
    assert "transformer 0.5 to 1 core and 0.5 to 4 GiB" in README
