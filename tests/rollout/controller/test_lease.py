"""Of several controllers on a cluster one acts: who holds the Lease, for how long, and what it takes to lose it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from secondread.config.lease import LeaseConfig
from secondread.errors import DependencyError, InputError, StoppedError
from secondread.rollout.cluster import Cluster
from secondread.rollout.controller.lease import Lease
from tests.rollout.splitters.kubernetes_api import LEASE, KubernetesApi, kubernetes_api, write_kubeconfig

NAME = "secondread-rollout"
CONFIG = LeaseConfig(duration_seconds=60, deadline_seconds=30, retry_seconds=5)
AT_ONCE = LeaseConfig(duration_seconds=60, deadline_seconds=30, retry_seconds=0.01)
MICRO_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"  # what the API server takes


class Clock:
    """Seconds, as a test sets them."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def api() -> Iterator[KubernetesApi]:
    """A cluster with a Lease that nobody has held yet."""
    with kubernetes_api() as made:
        made.objects[LEASE] = {"metadata": {"name": NAME, "resourceVersion": "1"}}
        yield made


@pytest.fixture
def cluster(api: KubernetesApi, tmp_path: Path) -> Cluster:
    return Cluster("site", config_file=str(write_kubeconfig(tmp_path / "config", api.url)))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ada(cluster: Cluster, clock: Clock) -> Lease:
    return Lease(cluster, NAME, "ada", CONFIG, clock=clock)


@pytest.fixture
def grace(cluster: Cluster, clock: Clock) -> Lease:
    return Lease(cluster, NAME, "grace", CONFIG, clock=clock)


def spec(api: KubernetesApi) -> Any:
    return api.objects[LEASE].get("spec", {})


def test_who_comes_first_holds_it(api: KubernetesApi, ada: Lease) -> None:
    assert not ada.held()
    assert ada.acquire()
    assert ada.held()
    said = spec(api)
    assert said["holderIdentity"] == ada.holder
    assert (said["leaseDurationSeconds"], said["leaseTransitions"]) == (60, 1)
    assert re.fullmatch(MICRO_TIME, said["acquireTime"])
    assert said["renewTime"] == said["acquireTime"]


def test_two_processes_of_one_pod_are_two(cluster: Cluster) -> None:
    first, second = (Lease(cluster, NAME, "pod-1") for _ in range(2))
    assert first.holder != second.holder
    assert first.holder.startswith("pod-1_")


def test_a_renewal_says_when_and_leaves_since_when(api: KubernetesApi, ada: Lease) -> None:
    ada.acquire()
    before = spec(api)
    assert ada.renew()
    after = spec(api)
    assert after["renewTime"] > before["renewTime"]
    assert {**after, "renewTime": ""} == {**before, "renewTime": ""}


def test_the_second_waits_as_long_as_the_first_renews(clock: Clock, ada: Lease, grace: Lease) -> None:
    ada.acquire()
    for _ in range(20):  # 200 s, far longer than it lasts
        clock.now += 10
        assert ada.renew()
        assert not grace.acquire()
    assert (ada.held(), grace.held()) == (True, False)


def test_the_second_takes_over_once_nothing_was_said_for_as_long_as_it_lasts(
    api: KubernetesApi, clock: Clock, ada: Lease, grace: Lease
) -> None:
    ada.acquire()
    clock.now += 1_000  # nobody looked: what is not seen to stand still is not known to
    assert not grace.acquire()
    clock.now += 59
    assert not grace.acquire()
    clock.now += 1
    assert grace.acquire()
    assert spec(api)["holderIdentity"] == grace.holder
    assert spec(api)["leaseTransitions"] == 2


def test_who_was_taken_over_finds_out_and_does_not_take_it_back(clock: Clock, ada: Lease, grace: Lease) -> None:
    ada.acquire()
    grace.acquire()
    clock.now += 60
    assert grace.acquire()
    assert not ada.held()
    assert not ada.renew()
    grace.release()
    assert not ada.renew()
    with pytest.raises(StoppedError, match=r"somebody else has taken it: nothing more is done\. Start again"):
        ada.check()


@pytest.mark.parametrize("status", [403, 409, 429, 500, 503])
def test_who_cannot_renew_acts_no_more_long_before_another_may(
    api: KubernetesApi, clock: Clock, ada: Lease, grace: Lease, status: int
) -> None:
    ada.acquire()
    assert not grace.acquire()
    for _ in range(5):
        clock.now += 5
        api.refusals = [("PATCH", status, "not now")]
        with pytest.raises((DependencyError, InputError)):
            ada.renew()
        ada.check()
    clock.now += 5
    assert not ada.held()
    assert not grace.acquire()  # for half a minute, in which what was begun in time ends
    clock.now += 30
    assert grace.acquire()


def test_an_api_server_that_comes_back_in_time_changes_nothing(api: KubernetesApi, clock: Clock, ada: Lease) -> None:
    ada.acquire()
    api.refusals = [("GET", 503, "etcd leader changed")]
    clock.now += 50
    with pytest.raises(DependencyError):
        ada.renew()
    assert not ada.held()
    assert ada.renew()  # and nobody had it meanwhile
    assert ada.held()


@pytest.mark.parametrize("stamp", ["1999-01-01T00:00:00.000000Z", "2099-01-01T00:00:00.000000Z", None])
def test_nobody_goes_by_the_clock_of_another_machine(
    api: KubernetesApi, clock: Clock, ada: Lease, stamp: str | None
) -> None:
    theirs = {"holderIdentity": "elsewhere", "leaseDurationSeconds": 15, "renewTime": stamp, "acquireTime": stamp}
    api.change(LEASE, {"spec": theirs})
    assert not ada.acquire()
    clock.now += 14
    assert not ada.acquire()
    clock.now += 1
    assert ada.acquire()


def test_of_two_who_see_it_run_out_one_is_faster(api: KubernetesApi, clock: Clock, ada: Lease, grace: Lease) -> None:
    ada.acquire()
    grace.acquire()
    clock.now += 60
    api.others = [{"spec": {"holderIdentity": "somebody-faster"}}]
    assert not grace.acquire()
    assert not grace.held()
    assert spec(api)["holderIdentity"] == "somebody-faster"


def test_what_was_taken_without_a_word_of_the_api_server_is_held(api: KubernetesApi, ada: Lease) -> None:
    api.change(LEASE, {"spec": {"holderIdentity": ada.holder, "leaseDurationSeconds": 60}})  # its answer was lost
    assert ada.acquire()


def test_what_is_let_go_of_can_be_taken_at_once(api: KubernetesApi, ada: Lease, grace: Lease) -> None:
    ada.acquire()
    assert not grace.acquire()
    ada.release()
    assert not ada.held()
    assert spec(api)["leaseDurationSeconds"] > 0  # 0 would be refused
    assert grace.acquire()


def test_nobody_lets_go_of_what_another_holds(api: KubernetesApi, clock: Clock, ada: Lease, grace: Lease) -> None:
    ada.acquire()
    grace.acquire()
    clock.now += 60
    grace.acquire()
    ada.release()
    assert spec(api)["holderIdentity"] == grace.holder


@pytest.mark.parametrize(("method", "verb"), [("GET", "get"), ("PATCH", "patch")])
def test_a_right_that_is_missing_is_named_as_a_role_has_it(
    api: KubernetesApi, ada: Lease, method: str, verb: str
) -> None:
    api.refusals = [(method, 403, "leases is forbidden")]
    rule = rf"\{{apiGroups: \[coordination\.k8s\.io\], resources: \[leases\], verbs: \[{verb}\]\}}"
    with pytest.raises(InputError, match=f"not let this account {verb} leases in namespace site .* rule {rule}"):
        ada.acquire()


def test_a_lease_that_is_not_there_is_not_made(api: KubernetesApi, ada: Lease) -> None:
    del api.objects[LEASE]
    with pytest.raises(InputError, match="namespace site has no Lease secondread-rollout"):
        ada.acquire()
    assert LEASE not in api.objects


def test_it_is_renewed_for_as_long_as_the_block_takes_and_let_go_of_then(api: KubernetesApi, cluster: Cluster) -> None:
    lease = Lease(cluster, NAME, "ada", AT_ONCE)
    assert lease.acquire()
    with lease.kept():
        taken = spec(api)
        api.wait_until(lambda: len(api.patches) >= 4)
        lease.check()
        assert spec(api)["renewTime"] > taken["renewTime"]
        assert spec(api)["leaseTransitions"] == taken["leaseTransitions"]
    assert not lease.held()
    assert spec(api)["holderIdentity"] == ""


def test_renewing_goes_on_over_what_fails(api: KubernetesApi, cluster: Cluster) -> None:
    lease = Lease(cluster, NAME, "ada", AT_ONCE)
    assert lease.acquire()
    with lease.kept():
        api.refusals = [("GET", 503, "etcd leader changed"), ("PATCH", 403, "forbidden"), ("PATCH", 409, "modified")]
        api.wait_until(lambda: not api.refusals)
        before = len(api.patches)
        api.wait_until(lambda: len(api.patches) > before)
        lease.check()


def test_who_waits_has_it_when_it_is_let_go_of_or_the_api_server_is_back(api: KubernetesApi, cluster: Cluster) -> None:
    other = Lease(cluster, NAME, "grace", AT_ONCE)
    other.acquire()
    tries = 0

    def meanwhile() -> None:
        nonlocal tries
        tries += 1
        if tries == 2:
            api.refusals = [("GET", 503, "etcd leader changed")]
        if tries == 4:
            other.release()

    lease = Lease(cluster, NAME, "ada", AT_ONCE)
    assert lease.wait(threading.Event(), meanwhile=meanwhile)
    assert tries == 4
    lease.check()


def test_who_waits_can_be_stopped(cluster: Cluster) -> None:
    Lease(cluster, NAME, "grace", AT_ONCE).acquire()
    stop = threading.Event()
    lease = Lease(cluster, NAME, "ada", LeaseConfig())
    threading.Timer(0.05, stop.set).start()
    assert not lease.wait(stop)
    assert not lease.held()


def test_who_waits_without_the_right_to_is_told_at_once(api: KubernetesApi, cluster: Cluster) -> None:
    api.refusals = [("GET", 403, "leases is forbidden")]
    with pytest.raises(InputError, match="give its Role the rule"):
        Lease(cluster, NAME, "ada", AT_ONCE).wait(threading.Event())


def test_a_lease_that_is_taken_away_is_lost_for_all_of_the_block(api: KubernetesApi, cluster: Cluster) -> None:
    lease = Lease(cluster, NAME, "ada", AT_ONCE)
    assert lease.acquire()
    with lease.kept():
        api.change(LEASE, {"spec": {"holderIdentity": "grace"}})
        (renewing,) = [each for each in threading.enumerate() if each.name == f"lease {NAME}"]
        renewing.join(60)
        api.change(LEASE, {"spec": {"holderIdentity": ""}})
        with pytest.raises(StoppedError):
            lease.check()
    assert spec(api)["holderIdentity"] == ""


@pytest.mark.parametrize("times", [(60, 60.0, 5.0), (60, 30.0, 30.0), (60, 30.0, 0.0)])
def test_times_that_would_let_two_act_are_refused(times: tuple[int, float, float]) -> None:
    with pytest.raises(InputError, match="retry_seconds must be above 0, deadline_seconds above it"):
        LeaseConfig(*times)
