"""A candidate comes, gets its share, and becomes the stable version or goes: real servers, under load, nothing lost."""

from __future__ import annotations

import http.client
import json
import math
import os
import signal
import struct
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from scipy.stats import binomtest

from secondread.errors import DependencyError, InputError
from secondread.model.folder import ModelFolder
from secondread.model.session import Outputs
from secondread.rollout.analysis.observations import Agreement
from secondread.rollout.splitters.agreement import SLACK_SECONDS
from secondread.rollout.splitters.edge_files import Status
from secondread.rollout.splitters.edge_process import EdgeProcess
from secondread.rollout.splitters.envoy import EnvoySplitter
from secondread.serving.protocol.contract import image_id
from secondread.serving.transformer import answer_log
from secondread.tracking.registry import RegisteredVersion
from tests.serving.steady_load import CUT, Load

START_SECONDS = 240  # in which a busy machine starts a server
SURE = 0.9999
CALLERS = 2  # of each protocol
CLOSED_SECONDS = 3.0  # of a killed process's connections to be closed, on a busy machine
ANSWERED = 'secondread_requests_total{code="200",name="secondread",version="2"}'


@pytest.fixture
def splitter(edge: Status, home: Path) -> Iterator[EnvoySplitter]:
    """The splitter; a test leaves no candidate behind."""
    made = EnvoySplitter(home)
    yield made
    made.remove()


@pytest.fixture
def tried(
    splitter: EnvoySplitter, versions: list[RegisteredVersion], wait_until: Callable[..., None]
) -> RegisteredVersion:
    """Version 2 as the candidate, ready, without a share."""
    splitter.deploy(versions[1])
    wait_until(lambda: splitter.read().candidate.ready, seconds=START_SECONDS, what="the candidate to answer")
    return versions[1]


def test_each_side_gets_its_share_of_both_protocols(
    splitter: EnvoySplitter,
    tried: RegisteredVersion,
    edge: Status,
    film: Callable[..., bytes],
    wait_until: Callable[..., None],
) -> None:
    assert splitter.set_split(30).what == "the candidate has 30 % of the requests"
    before = splitter.traffic()
    with Load(edge, film(1), callers=CALLERS) as load:
        wait_until(lambda: len(load.answers) >= 600, seconds=120, what="answers")
    answers = [each.version for each in load.answers if each.status == "200"]
    calls = [each.version for each in load.answers if each.status == "OK"]
    assert len(answers) + len(calls) == len(load.answers)
    assert not load.broken
    for versions in (answers, calls):
        assert set(versions) == {"1", "2"}
        share = binomtest(versions.count("2"), len(versions)).proportion_ci(SURE)
        assert share.low < 0.3 < share.high
    counted = splitter.traffic()
    assert counted.candidate.sent - before.candidate.sent == (answers + calls).count("2")
    assert counted.stable.sent - before.stable.sent == (answers + calls).count("1")
    assert counted.since(before).canary_share == (answers + calls).count("2") / len(load.answers)


def test_nothing_fails_while_the_share_changes_and_the_candidate_goes(
    splitter: EnvoySplitter,
    tried: RegisteredVersion,
    edge: Status,
    home: Path,
    film: Callable[..., bytes],
    wait_until: Callable[..., None],
) -> None:
    with Load(edge, film(1), callers=CALLERS) as load:
        for percent in (10, 100, 0, 50):
            assert splitter.set_split(percent).changed
            assert not splitter.set_split(percent).changed
            read = splitter.read()
            assert (read.candidate_percent, read.stable_percent) == (percent, 100 - percent)
            begun = time.monotonic()
            wait_until(lambda: load.answered_since(begun), seconds=60, what="answers")  # noqa: B023
        wait_until((home / "edge/servers/2/answers.log").is_file, seconds=60, what="its answers to be written")
        assert splitter.remove().what == "there is no candidate"
        assert splitter.remove().what == "there is no candidate already"
        gone = time.monotonic()
        wait_until(lambda: servers(home) == {"1"}, seconds=60, what="the candidate's server to end")
        wait_until(lambda: load.answered_since(gone), seconds=60, what="answers")
    assert not load.broken
    assert {each.status for each in load.answers} == {"200", "OK"}
    assert splitter.read().candidate is None
    assert not (home / "edge/servers/2/answers.log").exists()  # what it said of patients is gone with it


def test_what_is_mirrored_changes_no_answer(
    splitter: EnvoySplitter,
    tried: RegisteredVersion,
    edge: Status,
    models: list[ModelFolder],
    bare: Callable[..., Outputs],
    film: Callable[..., bytes],
    wait_until: Callable[..., None],
) -> None:
    assert splitter.set_split(0, mirrored=True).changed
    assert splitter.read().mirrored
    before = splitter.traffic()
    with Load(edge, film(1), callers=CALLERS) as load:
        begun = time.monotonic()
        wait_until(lambda: load.answered_since(begun), seconds=60, what="answers")
        wait_until(lambda: len(load.answers) >= 100, seconds=60, what="answers")
    asked = len(load.answers)
    probabilities = bare(models[0], film(1)).probabilities[0]
    for each in load.answers:
        assert each.version == "1"
        assert each.probabilities == pytest.approx(probabilities, abs=1e-6)
    wait_until(lambda: splitter.traffic().candidate.active == 0, seconds=60, what="the candidate to finish")
    counted = splitter.traffic()
    assert counted.candidate.mirrored - before.candidate.mirrored == asked
    assert counted.candidate.sent == before.candidate.sent
    assert counted.since(before).canary_share == 0
    with pytest.raises(InputError, match="would read its own requests twice"):
        splitter.set_split(10, mirrored=True)


def test_of_mirrored_images_it_is_known_how_many_the_two_read_differently(
    splitter: EnvoySplitter,
    tried: RegisteredVersion,
    edge: Status,
    home: Path,
    models: list[ModelFolder],
    bare: Callable[..., Outputs],
    film: Callable[..., bytes],
    wait_until: Callable[..., None],
) -> None:
    films, explained, unwanted = [film(seed) for seed in range(100, 112)], film(112), film(113)
    start = time.time() + SLACK_SECONDS
    assert ask(edge.url, unwanted)[0] == 200  # before it is mirrored
    splitter.set_split(0, mirrored=True)
    assert ask(edge.url, explained, model="secondread-explain")[0] == 200
    for each in films:
        assert ask(edge.url, each)[0] == 200

    def known() -> Agreement | None:
        return splitter.agreement(start, time.time() + SLACK_SECONDS + 1)

    wait_until(lambda: (found := known()) and found.total == len(films), seconds=60, what="both to have written")
    said = [
        [each.config.taxonomy.names[index] for index in bare(each, *films).probabilities.argmax(axis=1)]
        for each in models[:2]
    ]
    different = sum(one != other for one, other in zip(*said, strict=True))
    assert different > 0
    assert known() == Agreement(len(films), different)
    stable = {image for _, image, _ in answer_log.read(splitter._files.answer_log(1), start - SLACK_SECONDS, math.inf)}
    assert stable == {image_id(each) for each in (*films, unwanted)}
    assert (home / "edge/servers/1/answers.log").stat().st_mode & 0o777 == 0o600


def test_a_request_as_large_as_the_server_takes_is_mirrored_whole(
    splitter: EnvoySplitter, tried: RegisteredVersion, edge: Status, film: Callable[..., bytes], wait_until: Any
) -> None:
    splitter.set_split(0, mirrored=True)
    before = metric(splitter, ANSWERED)
    status, answer = ask(edge.url, film(1), padding=20 << 20)
    assert (status, answer["model_version"]) == (200, "1")
    wait_until(lambda: metric(splitter, ANSWERED) == before + 1, seconds=60, what="the candidate to answer, too")


def test_a_candidate_that_is_killed_costs_what_it_had_in_flight_and_what_came_before_that_was_known(
    splitter: EnvoySplitter,
    tried: RegisteredVersion,
    edge: Status,
    edge_process: EdgeProcess,
    film: Callable[..., bytes],
    wait_until: Callable[..., None],
) -> None:
    splitter.set_split(50)
    before = splitter.traffic()
    with Load(edge, film(1), callers=CALLERS) as load:
        begun = time.monotonic()
        wait_until(lambda: load.answered_since(begun, version="2"), seconds=60, what="the candidate's answers")
        killed = time.monotonic()
        os.kill(server(edge_process, "2").pid, signal.SIGKILL)
        wait_until(lambda: splitter.traffic().candidate.not_reached >= 10, seconds=60, what="requests to find nobody")
        counted = splitter.traffic().since(before)
        assert splitter.read().candidate_percent == 50
        wait_until(lambda: splitter.read().candidate.restarts == 1, seconds=60, what="it to be started again")
        assert "killed by signal 9" in splitter.read().candidate.problem
        wait_until(lambda: splitter.read().candidate.ready, seconds=START_SECONDS, what="it to be back")
        begun = time.monotonic()
        wait_until(lambda: load.answered_since(begun, version="2"), seconds=60, what="the candidate's answers")
    assert not load.broken
    failed = [each for each in load.answers if not each.good]
    # those that it had, and those that were sent to it before its connections were closed
    assert all(each.at < killed + CLOSED_SECONDS for each in failed)
    assert {each.status for each in failed} <= {"503", "UNAVAILABLE", CUT}
    # Who was not reached counts for the candidate: its failures are not hidden by the answers that came in its place.
    share = binomtest(counted.canary, counted.canary + counted.stable).proportion_ci(SURE)
    assert share.low < 0.5 < share.high


def test_where_the_candidate_is_down_every_request_reaches_the_stable_side_large_ones_too(
    splitter: EnvoySplitter,
    tried: RegisteredVersion,
    edge: Status,
    edge_process: EdgeProcess,
    film: Callable[..., bytes],
    wait_until: Callable[..., None],
) -> None:
    splitter.set_split(100)
    process = server(edge_process, "2")
    process.suspend()  # so that the edge does not start another one meanwhile
    try:
        before = splitter.traffic()
        process.kill()
        wait_until(lambda: not splitter.read().candidate.ready, seconds=60, what="the candidate to be gone")
        status, answer = ask(edge.url, film(1), padding=20 << 20)
        with Load(edge, film(1), callers=8) as load:
            wait_until(lambda: len(load.answers) >= 100, seconds=60, what="answers")
    finally:
        wait_until(lambda: splitter.read().candidate.ready, seconds=START_SECONDS, what="the candidate to be back")
    assert (status, answer["model_version"]) == (200, "1")
    assert {each.status for each in load.answers} == {"200", "OK"}
    assert splitter.traffic().candidate.not_reached > before.candidate.not_reached


def test_a_candidate_that_does_not_start_says_why_and_harms_nobody(
    splitter: EnvoySplitter,
    edge: Status,
    versions: list[RegisteredVersion],
    film: Callable[..., bytes],
    tmp_path: Path,
    wait_until: Callable[..., None],
) -> None:
    nowhere = tmp_path / versions[2].digest
    broken = RegisteredVersion("secondread", 9, versions[2].digest, str(nowhere), "", "")
    splitter.deploy(broken)
    wait_until(lambda: splitter.read().candidate.restarts >= 2, seconds=START_SECONDS, what="two more starts")
    candidate = splitter.read().candidate
    assert not candidate.ready
    assert versions[2].digest in candidate.problem
    with pytest.raises(DependencyError, match="version 9 is not ready yet"):
        splitter.set_split(10)
    with pytest.raises(DependencyError, match="version 9 is not ready yet"):
        splitter.promote(broken)
    assert ask(edge.url, film(1))[1]["model_version"] == "1"


def test_what_cannot_be_done_is_refused(splitter: EnvoySplitter, versions: list[RegisteredVersion]) -> None:
    stable, candidate, other = versions
    with pytest.raises(InputError, match="there is no candidate: deploy one first"):
        splitter.set_split(10)
    with pytest.raises(InputError, match="version 1 is the stable one"):
        splitter.deploy(stable)
    with pytest.raises(InputError, match="version 2 is not the candidate: deploy it first"):
        splitter.promote(candidate)
    with pytest.raises(InputError, match="0 to 100 percent, not 101"):
        splitter.set_split(101)
    assert not splitter.set_split(0).changed
    assert not splitter.promote(stable).changed
    splitter.deploy(candidate)
    with pytest.raises(InputError, match="version 2 is being tried: remove it first"):
        splitter.deploy(other)


def test_where_the_disk_is_full_who_answers_goes_on_and_what_was_asked_is_done_once_there_is_room(
    splitter: EnvoySplitter,
    tried: RegisteredVersion,
    edge: Status,
    edge_process: EdgeProcess,
    home: Path,
    film: Callable[..., bytes],
) -> None:
    process = psutil.Process(edge_process.pid)
    limits = process.rlimit(psutil.RLIMIT_FSIZE)
    process.rlimit(psutil.RLIMIT_FSIZE, (0, limits[1]))  # no byte can be written, and each try ends as on a full disk
    try:
        with pytest.raises(DependencyError, match="Envoy has not done as told after 2 s; the edge goes on trying"):
            EnvoySplitter(home, timeout_seconds=2).set_split(50)
        assert edge_process.is_running()
        assert ask(edge.url, film(1))[1]["model_version"] == "1"
    finally:
        process.rlimit(psutil.RLIMIT_FSIZE, limits)
    splitter.set_split(50)
    assert splitter.read().candidate_percent == 50


def test_envoy_is_back_with_the_same_shares_when_it_is_killed(
    splitter: EnvoySplitter,
    tried: RegisteredVersion,
    edge: Status,
    edge_process: EdgeProcess,
    film: Callable[..., bytes],
    wait_until: Callable[..., None],
) -> None:
    splitter.set_split(30)
    (envoy,) = [each for each in children(edge_process) if "--config-path" in each.cmdline()]
    envoy.kill()
    envoy.wait(timeout=30)
    wait_until(lambda: answers(edge.url, film(1)), seconds=60, what="Envoy to be back on its port")
    read = splitter.read()
    assert (read.candidate_percent, read.mirrored) == (30, False)
    assert splitter.traffic().since(splitter.traffic()) is None  # nothing was asked, so nothing is known


def test_over_the_network_envoy_gives_figures_and_takes_no_orders(splitter: EnvoySplitter, edge: Status) -> None:
    with urllib.request.urlopen(edge.metrics_url, timeout=30) as answer:
        assert b'envoy_cluster_upstream_rq_total{envoy_cluster_name="version-1-rest"}' in answer.read()
    connection = http.client.HTTPConnection(edge.metrics_url.split("/")[2], timeout=30)
    connection.request("POST", "/quitquitquit")
    assert connection.getresponse().status == 404
    connection.close()


def children(edge_process: EdgeProcess) -> list[psutil.Process]:
    return psutil.Process(edge_process.pid).children(recursive=True)


def server(edge_process: EdgeProcess, version: str) -> psutil.Process:
    """The transformer of a version."""
    (found,) = [each for each in children(edge_process) if each.cmdline()[-1].endswith(f"servers/{version}")]
    return found


def servers(home: Path) -> set[str]:
    """Versions that have a server."""
    return set(json.loads((home / "edge/status.json").read_text())["servers"])


def metric(splitter: EnvoySplitter, name: str) -> float:
    """Of the candidate's own figures."""
    (url,) = [each.url for version, each in splitter._files.read_status().servers.items() if version == 2]
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)), 0.0)


def ask(url: str, film: bytes, *, padding: int = 0, model: str = "secondread") -> tuple[int, Any]:
    """One request over REST, with spaces that make it large; JSON does not mind them."""
    packed = struct.pack("<I", len(film)) + film
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(packed)}}
    head = json.dumps({"inputs": [tensor]}).encode() + b" " * padding
    headers = {"Inference-Header-Content-Length": str(len(head))}
    request = urllib.request.Request(f"{url}/v2/models/{model}/infer", head + packed, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.status, json.load(answer)


def answers(url: str, film: bytes) -> bool:
    try:
        return ask(url, film)[0] == 200
    except OSError:
        return False
