"""The controller of rollouts: what it may do and reach, and that it is started and probed as it is written."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from copy import deepcopy
from pathlib import Path

import pytest
import typer
import yaml

import secondread
from secondread.cli.main import app
from secondread.config.environment import Environment
from secondread.errors import InputError
from secondread.rollout.analysis.policy import read_policy
from secondread.rollout.cluster import Cluster
from secondread.rollout.controller import carry_on
from secondread.rollout.controller.control import read_control
from secondread.rollout.controller.lease import Lease
from secondread.rollout.splitters.inference_service import InferenceService
from secondread.rollout.splitters.kserve_canary import KServeCanarySplitter
from secondread.tracking.registry import RegisteredVersion
from tests.manifests.conftest import rendered
from tests.rollout.splitters.kubernetes_api import (
    GATEWAY,
    ISVC,
    LEASE,
    ROLE,
    ROUTE,
    SCHEMA,
    kubernetes_api,
    schema,
    write_kubeconfig,
)

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "manifests/README.md").read_text()
ENVIRONMENTS = ["canary", "production"]
RULES = yaml.safe_load(ROLE.read_text())["rules"]
CANDIDATE = RegisteredVersion("secondread", 4, "4" * 64, f"s3://secondread-models/secondread/{'4' * 64}", "", "")


def of_kind(documents, kind, name="secondread-rollout"):
    (document,) = [
        d for d in documents if d["kind"] == kind and re.sub("-[a-z0-9]{10}$", "", d["metadata"]["name"]) == name
    ]
    return document


@pytest.fixture
def documents(render):
    return render("manifests/overlays/production")


@pytest.fixture
def pod(documents):
    return of_kind(documents, "Deployment")["spec"]["template"]["spec"]


@pytest.fixture
def container(pod):
    (container,) = pod["containers"]
    return container


@pytest.fixture
def variables(container):
    """Environment of the container, without what comes from elsewhere."""
    return {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}


@pytest.fixture
def act(documents, tmp_path):
    """Do what a rollout does on a cluster, with some rules of RBAC."""

    def act(rules):
        with kubernetes_api() as api:
            api.rules = rules
            for path, kind, name in ((ISVC, "InferenceService", "secondread"), (LEASE, "Lease", "secondread-rollout")):
                document = of_kind(documents, kind, name)
                document["metadata"] |= {"namespace": "site", "resourceVersion": "1"}
                api.objects[path] = document
            api.objects |= {SCHEMA: schema(canary=True), GATEWAY: {"resources": [{"name": "httproutes"}]}, ROUTE: {}}
            config = str(write_kubeconfig(tmp_path / "config", api.url))
            assert Lease(Cluster("site", config_file=config), "secondread-rollout", "pod").acquire()
            assert KServeCanarySplitter(InferenceService("secondread", "site", config_file=config)).deploy(CANDIDATE)

    return act


def test_its_rights_suffice(act):
    act(RULES)


@pytest.mark.parametrize(
    ("rule", "verb"), [(number, verb) for number, rule in enumerate(RULES) for verb in rule["verbs"]]
)
def test_it_has_no_right_that_it_does_not_need(rule, verb, act):
    fewer = deepcopy(RULES)
    fewer[rule]["verbs"].remove(verb)
    (group,), (resource,) = RULES[rule]["apiGroups"], RULES[rule]["resources"]
    missing = f"{{apiGroups: [{group}], resources: [{resource}], verbs: [{verb}]}}"
    with pytest.raises(InputError, match=re.escape(missing)):
        act(fewer)


def test_each_right_is_to_one_object_that_is_there(documents):
    role = of_kind(documents, "Role")
    for rule in role["rules"]:  # as rendered: kustomize takes some names there for references
        assert len(rule["apiGroups"]) == len(rule["resources"]) == len(rule["resourceNames"]) == 1
        assert set(rule["verbs"]) <= {"get", "patch"}
    named = {rule["resources"][0]: rule["resourceNames"][0] for rule in role["rules"]}
    service = of_kind(documents, "InferenceService", "secondread")["metadata"]["name"]
    assert named == {"inferenceservices": service, "httproutes": service, "leases": "secondread-rollout"}
    binding = of_kind(documents, "RoleBinding")
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    (subject,) = binding["subjects"]
    assert (subject["kind"], subject["namespace"]) == ("ServiceAccount", "secondread-production")


def test_the_pod_alone_has_the_accounts_token(documents, pod):
    account = of_kind(documents, "ServiceAccount")
    assert account["automountServiceAccountToken"] is False
    assert pod["automountServiceAccountToken"] is True
    (subject,) = of_kind(documents, "RoleBinding")["subjects"]
    assert pod["serviceAccountName"] == account["metadata"]["name"] == subject["name"]


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_it_carries_on_what_is_in_its_own_environment(name, render, tmp_path, monkeypatch):
    documents = render(f"manifests/overlays/{name}")
    file = tmp_path / "control.yaml"
    file.write_text(of_kind(documents, "ConfigMap", "secondread-control")["data"]["control.yaml"])
    config, service = read_control(file), of_kind(documents, "InferenceService", "secondread")
    assert config.namespace == config.observe.namespace == service["metadata"]["namespace"]
    assert config.service == service["metadata"]["name"]
    assert service["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Standard"
    assert config.splitter == "kserve-canary"
    monkeypatch.setattr(carry_on, "Cluster", lambda namespace: namespace)  # which looks for credentials
    assert carry_on.open_lease(config).name == of_kind(documents, "Lease")["metadata"]["name"]


def test_its_policy_is_one_that_kserve_can_do(documents, tmp_path):
    file = tmp_path / "rollout.yaml"
    file.write_text(of_kind(documents, "ConfigMap", "secondread-control")["data"]["rollout.yaml"])
    first, *stages = read_policy(file).stages
    assert first.traffic_percent == 0
    assert first.checks == ("load_test", "conformance")
    assert [stage.traffic_percent for stage in stages] == [10, 25, 50, 100]
    assert not any(stage.mirror_percent for stage in [first, *stages])


def test_one_acts_and_another_is_not_started_before_it_has_ended(documents):
    spec = of_kind(documents, "Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_its_container_has_no_privilege_and_bounds(container):
    context = container["securityContext"]
    assert container["image"] == f"ghcr.io/secondread/rollout:{secondread.__version__}"
    assert (context["runAsNonRoot"], context["runAsUser"]) == (True, 10001)
    assert (context["readOnlyRootFilesystem"], context["allowPrivilegeEscalation"]) == (True, False)
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert all({"cpu", "memory"} <= set(container["resources"][part]) for part in ("requests", "limits"))


def test_it_writes_its_record_to_the_volume_and_else_to_tmp_alone(pod, container, variables):
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    written = {m["mountPath"]: volumes[m["name"]] for m in container["volumeMounts"] if not m.get("readOnly")}
    home = str(Environment.read(variables).home)
    assert written.pop(home)["persistentVolumeClaim"] == {"claimName": "secondread-rollout"}
    assert pod["securityContext"]["fsGroup"] == container["securityContext"]["runAsGroup"]
    ((path, volume),) = written.items()
    assert path == "/tmp"  # noqa: S108 - in the container
    assert "sizeLimit" in volume["emptyDir"]


def test_the_claim_is_for_one_pod_and_for_those_of_a_pipeline_by_the_patch_that_is_written_down(documents, tmp_path):
    def modes(of):
        return of_kind(of, "PersistentVolumeClaim")["spec"]["accessModes"]

    assert modes(documents) == ["ReadWriteOnce"]
    text = (REPOSITORY / "docs/rollout-cluster.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"(?m)^      patches:\n((?:        .*\n)+)", text)
    for folder in ("kserve", "manifests"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder)
    overlay = tmp_path / "manifests/overlays/production/kustomization.yaml"
    written = yaml.safe_load(overlay.read_text(encoding="utf-8"))
    written["patches"] += yaml.safe_load(block)
    overlay.write_text(yaml.safe_dump(written), encoding="utf-8")
    assert modes(list(yaml.safe_load_all(rendered(tmp_path, "manifests/overlays/production")))) == ["ReadWriteMany"]


def test_what_it_reads_is_mounted_where_it_looks(pod, container, variables):
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    read = {
        m["mountPath"]: volumes[m["name"]]["configMap"]["name"] for m in container["volumeMounts"] if m.get("readOnly")
    }
    assert read.pop(str(Environment.read(variables).signing.trusted)) == "secondread-trusted-keys"
    ((folder, name),) = read.items()
    assert variables["SECONDREAD_CONTROL"] == f"{folder}/control.yaml"
    assert name.startswith("secondread-control-")  # and so another after each change, which starts the pod anew


def test_its_arguments_are_those_of_the_command(container):
    command, arguments = typer.main.get_command(app), list(container["args"])
    while arguments[0] in getattr(command, "commands", {}):
        command = command.commands[arguments.pop(0)]
    assert command.name == "control"
    assert command.make_context("control", arguments, resilient_parsing=True).params["heartbeat"]


@pytest.mark.parametrize("probe", ["startupProbe", "livenessProbe"])
def test_its_probes_tell_one_that_goes_on_from_one_that_stands_still(probe, container, tmp_path):
    (option,) = [each for each in container["args"] if each.startswith("--heartbeat=")]
    there, here = option.partition("=")[2], tmp_path / "heartbeat"
    command = [part.replace(there, str(here)) for part in container[probe]["exec"]["command"]]
    assert str(here) in " ".join(command)

    def goes_on():
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    assert not goes_on()
    here.touch()
    assert goes_on()
    os.utime(here, (time.time() - 900,) * 2)
    assert not goes_on()


def test_what_it_needs_of_a_namespace_is_what_the_readme_tells_to_make(pod, container):
    text = str(pod) + str(container)
    maps = {"secondread", "secondread-trusted-keys"}
    assert all(name in text for name in maps)
    (secret,) = [each["secretRef"]["name"] for each in container["envFrom"]]
    for made in [*(f"create configmap {name} " for name in maps), f"create secret generic {secret} "]:
        assert re.search(rf"--namespace secondread-production {made}", README), made


def test_nobody_reaches_it_and_it_reaches_what_it_asks(documents, pod):
    policy = of_kind(documents, "NetworkPolicy")["spec"]
    template = of_kind(documents, "Deployment")["spec"]["template"]
    assert policy["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert (policy["policyTypes"], "ingress" in policy) == (["Ingress", "Egress"], False)
    peers = [peer for rule in policy["egress"] for peer in rule["to"]]
    labels = {label for p in peers for label in p.get("namespaceSelector", {}).get("matchLabels", {})}
    assert labels == {
        "kubernetes.io/metadata.name",
        *(f"secondread/{who}" for who in ("monitoring", "tracking", "object-store", "webhook")),
    }
    (addresses,) = [rule for rule in policy["egress"] if any("ipBlock" in peer for peer in rule["to"])]
    assert {port["port"] for port in addresses["ports"]} == {443, 6443}
    assert "0.0.0.0/0" not in str(policy)
    (candidate,) = [peer["podSelector"]["matchLabels"] for peer in peers if "podSelector" in peer]
    assert candidate == {"serving.kserve.io/inferenceservice": "secondread"}


def test_no_patients_images_come_to_staging_and_no_rollout_runs_there(render):
    documents = render("manifests/overlays/staging")
    ingress = of_kind(documents, "NetworkPolicy", "secondread-serving")["spec"]["ingress"]
    assert "gateway" not in str(ingress)
    assert ingress[0]["from"] == [{"podSelector": {}}]
    assert "Deployment" not in {document["kind"] for document in documents}
