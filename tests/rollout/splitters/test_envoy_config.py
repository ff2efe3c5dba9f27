"""How requests are shared, as Envoy is told; and what the counters of two moments say."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondread.errors import InputError, IntegrityError
from secondread.rollout.analysis import observations
from secondread.rollout.splitters.envoy import Traffic
from secondread.rollout.splitters.envoy_admin import Requests
from secondread.rollout.splitters.envoy_config import clusters, routes
from secondread.rollout.splitters.splitter import Side, Split, check_deployable, check_split
from secondread.tracking.registry import RegisteredVersion


def groups(document):
    """Weights by group, for each protocol."""
    (table,) = document["resources"]
    (host,) = table["virtual_hosts"]
    specifiers = [route["route"]["inline_cluster_specifier_plugin"] for route in host["routes"]]
    return [
        {
            group["name"]: {each["cluster_name"]: each["weight"] for each in group["clusters"]}
            for group in specifier["extension"]["typed_config"]["priority_groups"]
        }
        for specifier in specifiers
    ]


@given(st.integers(0, 100), st.booleans())
def test_weights_sum_to_a_hundred_whatever_the_share(percent: int, mirrored: bool) -> None:
    mirrored = mirrored and not percent
    for protocol, shares in zip(("grpc", "rest"), groups(routes(3, 4, percent, mirrored=mirrored)), strict=True):
        wanted = {f"version-3-{protocol}": 100 - percent, f"version-4-{protocol}": percent}
        assert shares["split"] == {name: weight for name, weight in wanted.items() if weight}
        for group in shares.values():  # what is mirrored is nobody's share
            assert sum(group.values()) == 100
    for shares in groups(routes(3, None, 0, mirrored=False)):
        assert [sum(group.values()) for group in shares.values()] == [100, 100]


@given(st.integers(0, 100))
def test_in_the_place_of_what_is_down_only_the_stable_version_is_asked(percent: int) -> None:
    for protocol, shares in zip(("grpc", "rest"), groups(routes(3, 4, percent, mirrored=False)), strict=True):
        assert shares["stable"] == {f"version-3-{protocol}": 100}


def test_what_is_not_grpc_goes_to_rest() -> None:
    (table,) = routes(3, None, 0, mirrored=False)["resources"]
    assert [route["match"] for route in table["virtual_hosts"][0]["routes"]] == [
        {"prefix": "/", "grpc": {}},
        {"prefix": "/"},
    ]


def test_a_version_that_listens_nowhere_is_a_socket_that_nobody_else_can_open(tmp_path: Path) -> None:
    found = clusters({3: {"rest": "127.0.0.1:9000", "grpc": "127.0.0.1:9001"}, 4: {}}, tmp_path / "nowhere")
    addresses = {
        each["name"]: each["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]
        for each in found["resources"]
    }
    assert addresses["version-3-grpc"] == {"socket_address": {"address": "127.0.0.1", "port_value": 9001}}
    assert addresses["version-4-mirror-rest"] == {"pipe": {"path": str(tmp_path / "nowhere")}}
    assert len(addresses) == 8


def traffic(stable: int, candidate: int, not_reached: int = 0) -> Traffic:
    return Traffic(Requests(sent=stable), Requests(sent=candidate, not_reached=not_reached))


def test_the_share_between_two_moments_counts_who_was_not_reached_for_the_candidate() -> None:
    before = traffic(1000, 100)
    assert traffic(1090, 110).since(before) == observations.Split(90, 10)
    # 10 of the stable version's 100 were the candidate's
    assert traffic(1100, 100, not_reached=10).since(before) == observations.Split(90, 10)


def test_nothing_is_known_without_requests_or_where_counting_began_anew() -> None:
    before = traffic(1000, 100)
    assert before.since(before) is None
    assert traffic(50, 5).since(before) is None
    assert Traffic(Requests(sent=2000), None).since(before) is None


@pytest.mark.parametrize("percent", [-1, 101])
def test_a_share_is_a_percentage(percent: int) -> None:
    with pytest.raises(InputError, match=f"from 0 to 100 percent, not {percent}"):
        check_split(percent, mirrored=False)


@given(st.integers(0, 100))
def test_what_is_read_back_sums_to_a_hundred(percent: int) -> None:
    side = Side("s3://models/secondread/" + "4" * 64, ready=True)
    read = Split(side, side, percent, mirrored=False)
    assert read.stable_percent + read.candidate_percent == 100


@pytest.mark.parametrize(
    ("digest", "storage_uri"),
    [
        ("4" * 64, "s3://models/secondread/latest"),
        ("4" * 64, f"s3://models/secondread/x{'4' * 64}"),
        ("latest", "s3://models/secondread/latest"),
    ],
)
def test_a_place_that_is_not_named_after_its_content_is_not_deployed(digest: str, storage_uri: str) -> None:
    with pytest.raises(IntegrityError, match="does not end in its digest"):
        check_deployable(RegisteredVersion("secondread", 4, digest, storage_uri, "", ""))
