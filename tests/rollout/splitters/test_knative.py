"""Knative mode: which patches a trial consists of, what is read back, and which clusters are refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from secondread.errors import DependencyError, InputError
from secondread.rollout.splitters.inference_service import InferenceService
from secondread.rollout.splitters.knative import KnativeSplitter
from secondread.tracking.registry import RegisteredVersion
from tests.rollout.splitters.kubernetes_api import ISVC, KNATIVE, KubernetesApi, kubernetes_api, write_kubeconfig

ROOT = "s3://secondread-models/secondread"
STABLE = f"{ROOT}/{'0' * 64}"  # as kserve/services/knative has it
CANDIDATE = RegisteredVersion("secondread", 4, "4" * 64, f"{ROOT}/{'4' * 64}", "challenger", "")
OTHER = RegisteredVersion("secondread", 5, "5" * 64, f"{ROOT}/{'5' * 64}", "", "")
REMEMBERED = "secondread/stable-storage-uri"


@pytest.fixture
def api(render: Callable[[str], Any]) -> Iterator[KubernetesApi]:
    """A cluster with KServe on Knative and the InferenceService of this repository, which is ready."""
    (service,) = [each for each in render("kserve/services/knative") if each["kind"] == "InferenceService"]
    with kubernetes_api() as made:
        made.objects[ISVC] = service
        service["metadata"] |= {"namespace": "site", "resourceVersion": "1"}
        made.objects[KNATIVE] = {"resources": [{"name": "services"}, {"name": "revisions"}]}
        kserve(made)
        yield made


@pytest.fixture
def splitter(api: KubernetesApi, tmp_path: Path) -> KnativeSplitter:
    """The splitter, with the credentials of a kubeconfig."""
    config = write_kubeconfig(tmp_path / "config", api.url)
    return KnativeSplitter(InferenceService("secondread", "site", config_file=str(config)))


def kserve(api: KubernetesApi, *, ready: bool = True) -> None:
    """Do what KServe's controller and Knative do: a revision for each model, and the shares over two of them."""
    predictor = api.objects[ISVC]["spec"]["predictor"]
    before = api.objects[ISVC].get("status", {}).get("components", {}).get("predictor", {})
    created = f"revision-of-{predictor['model']['storageUri'][-4:]}"
    newest = created if ready else before["latestReadyRevision"]
    rolled_out, share = before.get("latestRolledoutRevision", ""), predictor.get("canaryTrafficPercent")
    traffic = [{"revisionName": newest, "latestRevision": True, "percent": 100}]
    if share is not None and rolled_out and share < 100:
        traffic[0]["percent"] = share
        traffic.append({"revisionName": rolled_out, "latestRevision": False, "percent": 100 - share})
    if traffic[0]["percent"] == 100:
        rolled_out = newest
    status = {
        "latestCreatedRevision": created,
        "latestReadyRevision": newest,
        "latestRolledoutRevision": rolled_out,
        "traffic": traffic,
    }
    api.change(ISVC, {"status": {"components": {"predictor": status}}})


def test_a_trial_is_these_patches(
    api: KubernetesApi,
    splitter: KnativeSplitter,
    parse: Callable[[str, Any], Any],
) -> None:
    splitter.deploy(CANDIDATE)
    kserve(api)
    for percent in (10, 50):
        splitter.set_split(percent)
        kserve(api)
        read = splitter.read()
        assert (read.candidate_percent, read.stable_percent) == (percent, 100 - percent)
        assert (read.stable.storage_uri, read.candidate.digest) == (STABLE, CANDIDATE.digest)
        assert (read.stable.restarts, read.candidate.restarts) == (None, None)  # nobody here sees its pods
    sent = deepcopy(api.objects[ISVC])
    del sent["metadata"]["resourceVersion"], sent["status"]
    sent["spec"]["predictor"]["model"].setdefault("name", "")
    parse("V1beta1InferenceService", sent)
    splitter.promote(CANDIDATE)
    kserve(api)
    model = {"storageUri": CANDIDATE.storage_uri}
    assert api.patches == [
        {
            "metadata": {"annotations": {REMEMBERED: STABLE}},
            "spec": {"predictor": {"canaryTrafficPercent": 0, "model": model}},
        },
        {"spec": {"predictor": {"canaryTrafficPercent": 10}}},
        {"spec": {"predictor": {"canaryTrafficPercent": 50}}},
        {
            "metadata": {"annotations": {REMEMBERED: None}},
            "spec": {"predictor": {"canaryTrafficPercent": 100, "model": model}},
        },
    ]
    read = splitter.read()
    assert (read.stable.storage_uri, read.candidate, read.candidate_percent) == (CANDIDATE.storage_uri, None, 0)


def test_acting_twice_changes_nothing(api: KubernetesApi, splitter: KnativeSplitter) -> None:
    for act in (
        lambda: splitter.deploy(CANDIDATE),
        lambda: splitter.set_split(25),
        lambda: splitter.promote(CANDIDATE),
    ):
        assert act().changed
        kserve(api)
        before = api.objects[ISVC]
        assert not act().changed
        assert api.objects[ISVC] == before


def test_after_a_removal_no_request_goes_to_the_candidate_even_before_the_stable_model_is_back(
    api: KubernetesApi, splitter: KnativeSplitter
) -> None:
    splitter.deploy(CANDIDATE)
    kserve(api)
    splitter.set_split(10)
    kserve(api)
    assert splitter.remove().changed
    assert not splitter.remove().changed
    kserve(
        api, ready=False
    )  # the stable model's new revision is still starting: the newest that is ready is the candidate's
    traffic = {each["revisionName"]: each["percent"] for each in predictor(api)["traffic"]}
    assert traffic == {"revision-of-4444": 0, "revision-of-0000": 100}
    read = splitter.read()
    assert (read.stable.storage_uri, read.candidate, read.candidate_percent) == (STABLE, None, 0)
    kserve(api)
    assert splitter.deploy(OTHER).changed


def test_a_candidate_that_is_still_starting_has_no_share_and_gets_none(
    api: KubernetesApi, splitter: KnativeSplitter
) -> None:
    splitter.deploy(CANDIDATE)
    assert splitter.read().candidate_percent == 0  # KServe has not come to it yet
    with pytest.raises(DependencyError, match="not ready yet"):
        splitter.set_split(10)
    kserve(api, ready=False)
    assert not splitter.read().candidate.ready
    with pytest.raises(DependencyError, match="not ready yet"):
        splitter.promote(CANDIDATE)


def test_what_cannot_be_done_is_refused(api: KubernetesApi, splitter: KnativeSplitter) -> None:
    with pytest.raises(InputError, match="there is no candidate: deploy one first"):
        splitter.set_split(10)
    with pytest.raises(InputError, match="KServe mirrors no requests"):
        splitter.set_split(0, mirrored=True)
    with pytest.raises(InputError, match="takes 100 % for the end of the trial"):
        splitter.set_split(100)
    with pytest.raises(InputError, match="version 4 is not the candidate: deploy it first"):
        splitter.promote(CANDIDATE)
    splitter.deploy(CANDIDATE)
    with pytest.raises(InputError, match="another candidate is being tried: remove it first"):
        splitter.deploy(OTHER)
    with pytest.raises(InputError, match="version 1 is the stable one"):
        splitter.deploy(RegisteredVersion("secondread", 1, "0" * 64, STABLE, "", ""))


def in_standard_mode(api: KubernetesApi) -> None:
    api.objects[ISVC]["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] = "Standard"


def in_no_named_mode(api: KubernetesApi) -> None:
    del api.objects[ISVC]["metadata"]["annotations"]["serving.kserve.io/deploymentMode"]


def without_knative(api: KubernetesApi) -> None:
    del api.objects[KNATIVE]


def with_somebody_else_s_canary(api: KubernetesApi) -> None:
    api.objects[ISVC]["spec"]["predictor"]["canaryTrafficPercent"] = 20


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        (in_standard_mode, "in Standard mode, where KServe ignores canaryTrafficPercent without a word"),
        (in_no_named_mode, "in no named mode"),
        (without_knative, "has no Knative Serving, without which no share is split"),
        (with_somebody_else_s_canary, "has a canary with 20 % already, which somebody else began"),
    ],
)
def test_a_cluster_that_would_ignore_it_is_refused(
    api: KubernetesApi, splitter: KnativeSplitter, lacking: Callable[[KubernetesApi], None], said: str
) -> None:
    lacking(api)
    with pytest.raises(InputError, match=said):
        splitter.deploy(CANDIDATE)
    assert not api.patches


def predictor(api: KubernetesApi) -> dict[str, Any]:
    return api.objects[ISVC]["status"]["components"]["predictor"]
