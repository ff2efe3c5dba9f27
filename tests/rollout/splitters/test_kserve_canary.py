"""Standard mode: which patches a trial consists of, what is read back, and which clusters are refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from secondread.errors import DependencyError, InputError, IntegrityError
from secondread.rollout.splitters.inference_service import InferenceService
from secondread.rollout.splitters.kserve_canary import KServeCanarySplitter
from secondread.tracking.registry import RegisteredVersion
from tests.rollout.splitters.kubernetes_api import (
    GATEWAY,
    ISVC,
    ROUTE,
    SCHEMA,
    KubernetesApi,
    kubernetes_api,
    schema,
    write_kubeconfig,
)

ROOT = "s3://secondread-models/secondread"
STABLE = f"{ROOT}/{'0' * 64}"  # as kserve/services/standard has it
CANDIDATE = RegisteredVersion("secondread", 4, "4" * 64, f"{ROOT}/{'4' * 64}", "challenger", "")
OTHER = RegisteredVersion("secondread", 5, "5" * 64, f"{ROOT}/{'5' * 64}", "", "")
ADDED = {
    "name": "v4",
    "minReplicas": 1,
    "model": {
        "name": "",
        "storageUri": CANDIDATE.storage_uri,
        "modelFormat": {"name": "triton", "version": "2"},
        "runtime": "secondread-triton",
        "protocolVersion": "v2",
    },
}


@pytest.fixture
def api(render: Callable[[str], Any]) -> Iterator[KubernetesApi]:
    """A cluster with KServe 0.20, Gateway API and the InferenceService of this repository, which is ready."""
    (service,) = [each for each in render("kserve/services/standard") if each["kind"] == "InferenceService"]
    with kubernetes_api() as made:
        made.objects[ISVC] = service
        service["metadata"] |= {"namespace": "site", "resourceVersion": "1"}
        service["status"] = {"conditions": [{"type": "PredictorReady", "status": "True"}]}
        made.objects[SCHEMA] = schema(canary=True)
        made.objects[GATEWAY] = {"resources": [{"name": "gateways"}, {"name": "httproutes"}]}
        made.objects[ROUTE] = {"metadata": {"resourceVersion": "1"}}
        kserve(made)
        yield made


@pytest.fixture
def splitter(api: KubernetesApi, tmp_path: Path) -> KServeCanarySplitter:
    """The splitter, with the credentials of a kubeconfig."""
    config = write_kubeconfig(tmp_path / "config", api.url)
    return KServeCanarySplitter(InferenceService("secondread", "site", config_file=str(config)))


def kserve(api: KubernetesApi, *, ready: bool = True) -> None:
    """Do what KServe's controller does: say which canaries are ready, and give those their weight."""
    spec = api.objects[ISVC]["spec"]
    canaries = spec.get("canary", [])
    statuses = [{"name": each["predictor"]["name"], "ready": ready} for each in canaries]
    api.change(ISVC, {"status": {"canaryStatuses": statuses}})
    shares = {each["predictor"]["name"]: each["trafficPercent"] for each in canaries if ready}
    stable = f"secondread-{spec['predictor']['name']}-" if "name" in spec["predictor"] else "secondread-"
    backends = [{"name": f"{stable}predictor", "weight": 100 - sum(shares.values())}]
    backends += [{"name": f"secondread-{name}-predictor", "weight": weight} for name, weight in shares.items()]
    # a rule for gRPC, and one for all that is left
    api.change(ROUTE, {"spec": {"rules": [{"backendRefs": backends}, {"backendRefs": backends}]}})


def test_a_trial_is_these_patches(
    api: KubernetesApi,
    splitter: KServeCanarySplitter,
    parse: Callable[[str, Any], Any],
) -> None:
    splitter.deploy(CANDIDATE)
    kserve(api)
    for percent in (10, 50):
        assert splitter.set_split(percent).what == f"the candidate is to have {percent} % of the requests"
        kserve(api)
        read = splitter.read()
        assert (read.candidate_percent, read.stable_percent) == (percent, 100 - percent)
        assert (read.stable.storage_uri, read.candidate.digest) == (STABLE, CANDIDATE.digest)
    sent = deepcopy(api.objects[ISVC])
    del sent["metadata"]["resourceVersion"], sent["status"]
    sent["spec"]["predictor"]["model"].setdefault("name", "")
    parse("V1beta1InferenceService", sent)
    assert splitter.promote(CANDIDATE).what == "version 4 is to be the stable one"
    kserve(api)
    assert api.patches == [
        {"spec": {"canary": [{"trafficPercent": 0, "predictor": ADDED}]}},
        {"spec": {"canary": [{"trafficPercent": 10, "predictor": ADDED}]}},
        {"spec": {"canary": [{"trafficPercent": 50, "predictor": ADDED}]}},
        {"spec": {"canary": None, "predictor": {"name": "v4", "model": {"storageUri": CANDIDATE.storage_uri}}}},
    ]
    read = splitter.read()
    assert (read.stable.storage_uri, read.candidate, read.candidate_percent) == (CANDIDATE.storage_uri, None, 0)
    assert api.objects[ISVC]["spec"]["predictor"]["model"]["runtime"] == "secondread-triton"


def test_a_candidate_has_pods_by_its_share(api: KubernetesApi, splitter: KServeCanarySplitter) -> None:
    api.change(ISVC, {"spec": {"predictor": {"minReplicas": 4}}})
    splitter.deploy(CANDIDATE)
    kserve(api)
    pods = [api.objects[ISVC]["spec"]["canary"][0]["predictor"]["minReplicas"]]
    for percent in (10, 25, 50, 100, 0):
        splitter.set_split(percent)
        pods.append(api.objects[ISVC]["spec"]["canary"][0]["predictor"]["minReplicas"])
    assert pods == [1, 1, 1, 2, 4, 1]


def test_a_candidate_can_be_asked_alone(api: KubernetesApi, splitter: KServeCanarySplitter) -> None:
    splitter.deploy(CANDIDATE)
    tried = splitter.read().candidate
    # KServe's Service of its predictor: the transformer's first port as 80, the second as it is
    assert (tried.url, tried.grpc_url) == (
        "http://secondread-v4-predictor.site",
        "secondread-v4-predictor.site:8081",
    )
    assert tried.restarts is None  # nobody here sees its pods


def test_acting_twice_changes_nothing(api: KubernetesApi, splitter: KServeCanarySplitter) -> None:
    for act in (
        lambda: splitter.deploy(CANDIDATE),
        lambda: splitter.set_split(25),
        lambda: splitter.promote(CANDIDATE),
    ):
        assert act().changed
        kserve(api)
        before = api.objects[ISVC]
        again = act()
        assert not again.changed
        assert again.what.endswith("already")
        assert api.objects[ISVC] == before


def test_a_removed_candidate_leaves_no_trace(api: KubernetesApi, splitter: KServeCanarySplitter) -> None:
    spec = api.objects[ISVC]["spec"]
    splitter.deploy(CANDIDATE)
    kserve(api)
    splitter.set_split(10)
    assert splitter.remove().changed
    assert not splitter.remove().changed
    assert api.objects[ISVC]["spec"] == spec


def test_the_share_that_is_read_is_the_route_s_and_not_the_one_that_was_asked(
    api: KubernetesApi, splitter: KServeCanarySplitter
) -> None:
    splitter.deploy(CANDIDATE)
    kserve(api)
    splitter.set_split(10)
    assert splitter.read().candidate_percent == 0  # KServe has not come to it yet
    kserve(api, ready=False)
    assert splitter.read().candidate_percent == 0  # and gives none to a candidate that is not ready
    kserve(api)
    assert splitter.read().candidate_percent == 10
    rules = api.objects[ROUTE]["spec"]["rules"]
    api.change(ROUTE, {"spec": {"rules": [rules[0], {"backendRefs": rules[1]["backendRefs"][:1]}]}})
    with pytest.raises(DependencyError, match=r"split differently: \[0, 10\] %"):
        splitter.read()


def test_a_candidate_that_is_not_ready_gets_no_share(api: KubernetesApi, splitter: KServeCanarySplitter) -> None:
    splitter.deploy(CANDIDATE)
    kserve(api, ready=False)
    with pytest.raises(DependencyError, match="not ready yet"):
        splitter.set_split(10)
    with pytest.raises(DependencyError, match="not ready yet"):
        splitter.promote(CANDIDATE)


def test_what_cannot_be_done_is_refused(api: KubernetesApi, splitter: KServeCanarySplitter) -> None:
    with pytest.raises(InputError, match="there is no candidate: deploy one first"):
        splitter.set_split(10)
    with pytest.raises(InputError, match="KServe mirrors no requests"):
        splitter.set_split(0, mirrored=True)
    with pytest.raises(InputError, match="version 4 is not the candidate: deploy it first"):
        splitter.promote(CANDIDATE)
    with pytest.raises(InputError, match="version 1 is the stable one"):
        splitter.deploy(RegisteredVersion("secondread", 1, "0" * 64, STABLE, "", ""))
    splitter.deploy(CANDIDATE)
    with pytest.raises(InputError, match=r"another candidate \(v4\) is being tried: remove it first"):
        splitter.deploy(OTHER)
    with pytest.raises(IntegrityError, match="does not end in its digest"):
        splitter.deploy(RegisteredVersion("secondread", 6, "6" * 64, "s3://elsewhere/secondread/latest", "", ""))
    api.objects[ISVC]["spec"]["canary"] *= 2
    with pytest.raises(InputError, match="has 2 canaries: leave one at most"):
        splitter.read()


def without_canary(api: KubernetesApi) -> None:
    api.objects[SCHEMA] = schema(canary=False)


def without_gateway_api(api: KubernetesApi) -> None:
    del api.objects[GATEWAY]


def without_route(api: KubernetesApi) -> None:
    del api.objects[ROUTE]


def in_knative_mode(api: KubernetesApi) -> None:
    api.objects[ISVC]["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] = "Serverless"


def with_the_old_name_of_its_mode(api: KubernetesApi) -> None:
    api.objects[ISVC]["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] = "RawDeployment"


def scaled_by_keda(api: KubernetesApi) -> None:
    api.objects[ISVC]["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] = "keda"


def with_a_transformer_component(api: KubernetesApi) -> None:
    api.objects[ISVC]["spec"]["transformer"] = {}


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        (without_canary, "has no spec.canary: it needs KServe 0.20 or later"),
        (without_gateway_api, "has no Gateway API, without which no share is split"),
        (without_route, "KServe has made no HTTPRoute secondread, so no share would be split: set enableGatewayApi"),
        (in_knative_mode, "is deployed in Knative mode, which has no spec.canary: use the splitter knative"),
        (with_the_old_name_of_its_mode, "wants the annotation serving.kserve.io/deploymentMode: Standard"),
        (scaled_by_keda, "is scaled by KEDA"),
        (with_a_transformer_component, "has a transformer component, which a canary's share goes past"),
    ],
)
def test_a_cluster_that_would_ignore_it_is_refused(
    api: KubernetesApi, splitter: KServeCanarySplitter, lacking: Callable[[KubernetesApi], None], said: str
) -> None:
    lacking(api)
    with pytest.raises(InputError, match=said):
        splitter.deploy(CANDIDATE)
    assert not api.patches


def test_a_conflict_is_tried_again_on_what_is_there_now(api: KubernetesApi, splitter: KServeCanarySplitter) -> None:
    api.others = [{"metadata": {"labels": {"team": "thorax"}}}, {"spec": {"predictor": {"minReplicas": 3}}}]
    assert splitter.deploy(CANDIDATE).changed
    assert len(api.patches) == 1
    assert api.objects[ISVC]["metadata"]["labels"] == {"team": "thorax"}
    assert api.objects[ISVC]["spec"]["predictor"]["minReplicas"] == 3


def test_who_was_faster_is_not_overruled(api: KubernetesApi, splitter: KServeCanarySplitter) -> None:
    theirs = {"trafficPercent": 5, "predictor": ADDED | {"name": "by-hand", "model": {"storageUri": OTHER.storage_uri}}}
    api.others = [{"spec": {"canary": [theirs]}}]
    with pytest.raises(InputError, match=r"another candidate \(by-hand\)"):
        splitter.deploy(CANDIDATE)
    assert not api.patches


def test_conflicts_without_end_are_given_up(api: KubernetesApi, splitter: KServeCanarySplitter) -> None:
    api.others = [{"metadata": {"labels": {"turn": str(turn)}}} for turn in range(9)]
    with pytest.raises(DependencyError, match="somebody else changed InferenceService secondread 5 times"):
        splitter.deploy(CANDIDATE)


@pytest.mark.parametrize(
    ("refusal", "error", "said"),
    [
        (
            ("PATCH", 403, "cannot patch resource"),
            InputError,
            "does not let this account patch inferenceservices in name",
        ),
        (
            ("GET", 403, "cannot get resource"),
            InputError,
            r"get inferenceservices in namespace site \(cannot get resource",
        ),
        (("GET", 404, "not found"), InputError, "namespace site has no InferenceService secondread"),
        (
            ("PATCH", 400, "admission webhook denied: canary"),
            InputError,
            r"refuses .*\(400\): admission webhook denied",
        ),
        (
            ("PATCH", 503, "etcd leader changed"),
            DependencyError,
            r"cannot patch inferenceservices now \(503, etcd leader",
        ),
    ],
)
def test_what_the_api_server_refuses_is_explained_in_a_line(
    api: KubernetesApi,
    splitter: KServeCanarySplitter,
    refusal: tuple[str, int, str],
    error: type[Exception],
    said: str,
) -> None:
    api.refusals = [refusal]
    with pytest.raises(error, match=said) as raised:
        splitter.deploy(CANDIDATE)
    assert "\n" not in str(raised.value)


def test_wrong_credentials_and_no_cluster_are_said(api: KubernetesApi, tmp_path: Path) -> None:
    wrong = write_kubeconfig(tmp_path / "wrong", api.url, token="stale")  # noqa: S106 - of the stand-in
    with pytest.raises(InputError, match="does not know who asks"):
        InferenceService("secondread", "site", config_file=str(wrong)).read()
    nobody = write_kubeconfig(tmp_path / "nobody", "http://127.0.0.1:1")
    with pytest.raises(DependencyError, match="the API server of the cluster does not answer"):
        InferenceService("secondread", "site", config_file=str(nobody)).read()
    with pytest.raises(InputError, match="no way to a cluster"):
        InferenceService("secondread", "site", config_file=str(tmp_path / "missing"))
