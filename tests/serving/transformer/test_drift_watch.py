"""The latest answers are compared with those on val: in the metrics of a real server, and nowhere unasked."""

from __future__ import annotations

import io
import json
import logging
import math
import shutil
import struct
import threading
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from PIL import Image
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from secondread.config.environment import Environment
from secondread.config.loadtest import LoadTestConfig
from secondread.config.rollout import CHECKS
from secondread.config.serve import ServeConfig
from secondread.data.sources.phantom.source import PhantomSource
from secondread.export.repository.deliver import deliver
from secondread.export.repository.layout import RepositoryModel, read_repository
from secondread.export.repository.signing_key import SigningKey
from secondread.model.folder import REFERENCE_FILE, ModelFolder
from secondread.model.session import Outputs
from secondread.monitoring.answers import Answers
from secondread.monitoring.drift import find_drift
from secondread.rollout.controller.checks import Check
from secondread.rollout.controller.controller import Checked
from secondread.rollout.splitters.splitter import Side
from secondread.serving.load.loadtest import loadtest
from secondread.serving.transformer.drift_watch import DriftWatch
from secondread.serving.transformer.metrics import DRIFT
from secondread.serving.transformer.versions import Served, ServedVersion
from secondread.tracking.registry import RegisteredVersion

IMAGES = 120  # of the window


@pytest.fixture(scope="module")
def phantoms() -> list[bytes]:
    """Films of as many patients, the first ones for val."""
    uri = "phantom://cxr?images=1200&size=32&classes=cxr-normal,cxr-covid,cxr-opacity"
    first = {image.patient_id: image for image in PhantomSource(uri).images()}
    drawn = list(first.values())[: 150 + IMAGES]
    return [drawn[place].read() for place in np.random.default_rng(0).permutation(len(drawn))]


def brighter(film: bytes) -> bytes:
    """The same film, a tenth brighter."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(film)).convert("L").point(lambda grey: min(255, round(grey * 1.1))).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def referring(
    model: ModelFolder,
    phantoms: list[bytes],
    bare: Callable[..., Outputs],
    signer: SigningKey,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A signed repository of the model with the graph that explains it, and what it answers on 150 of the phantoms."""
    folder = tmp_path_factory.mktemp("model") / "secondread"
    shutil.copytree(model.root, folder)
    outputs = bare(model, *phantoms[:150])
    names = np.array(model.config.taxonomy.names)
    pd.DataFrame(
        {
            "patient": np.arange(150, dtype=np.int32),
            "predicted": names[outputs.probabilities.argmax(axis=1)],
            "confidence": outputs.probabilities.max(axis=1),
            "embedding": list(outputs.embedding),
        }
    ).to_parquet(folder / REFERENCE_FILE)
    done = deliver(
        ModelFolder.open(folder),
        tmp_path_factory.mktemp("models"),
        name="secondread",
        version=7,
        key=signer,
        environment=Environment.read(),
    )
    return Path(done.uri)


def read(server: Any, films: Sequence[bytes], *, model: str = "secondread") -> None:
    """Have each film read in a request of its own."""
    for film in films:
        packed = struct.pack("<I", len(film)) + film
        tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(packed)}}
        head = json.dumps({"inputs": [tensor]}).encode()
        request = urllib.request.Request(
            f"{server.url}/v2/models/{model}/infer",
            head + packed,
            {"Inference-Header-Content-Length": str(len(head))},
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            answer = json.load(response)
        assert "embedding" not in {output["name"] for output in answer["outputs"]}


def shown(server: Any) -> dict[tuple[str, str], dict[str, float]]:
    """What /metrics says of drift: statistics by model and version."""
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=30) as response:
        text = response.read().decode()
    found: dict[tuple[str, str], dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples if family.name == "secondread_drift" else ():
            of = (sample.labels["name"], sample.labels["version"])
            found.setdefault(of, {})[sample.labels["statistic"]] = sample.value
    return found


def test_a_server_shows_the_drift_of_what_it_was_asked_lately(
    referring: Path,
    phantoms: list[bytes],
    model: ModelFolder,
    bare: Callable[..., Outputs],
    start: Callable[..., Any],
    stop: Callable[[Any], int],
    wait_until: Callable[..., None],
) -> None:
    late = phantoms[150:]
    server = start(serving=referring, drift_images=IMAGES, drift_seconds=0.1)
    try:
        first = shown(server)
        assert set(first) == {("secondread", "7")}  # and none of the one that explains
        assert first[("secondread", "7")].pop("images") == 0
        assert all(map(math.isnan, first[("secondread", "7")].values()))

        def drift() -> dict[str, float]:
            return shown(server)[("secondread", "7")]

        read(server, late[:2], model="secondread-explain")
        read(server, late)
        wait_until(lambda: drift()["images"] == IMAGES, seconds=30, what="a comparison")
        outputs = bare(model, *late)
        reference = read_repository(referring, "secondread").reference
        assert reference is not None
        expected = find_drift(reference, answers(outputs))
        found = drift()
        assert found["predictions_psi"] == pytest.approx(expected.predictions_psi, abs=1e-6)
        assert found["embedding_mmd2"] == pytest.approx(expected.embedding_mmd2, abs=1e-5)
        for statistic in ("predictions", "confidence", "embedding"):
            assert found[f"{statistic}_p_value"] > 0.01
        read(server, [brighter(film) for film in late])
        wait_until(lambda: drift()["embedding_p_value"] == 0.001, seconds=30, what="the drift")
        assert drift()["images"] == IMAGES
        read(server, late)
        wait_until(lambda: drift()["embedding_p_value"] > 0.01, seconds=30, what="the drift to pass")
    finally:
        assert stop(server) == 0
    assert "Traceback" not in server.log.read_text()


def test_what_the_checks_of_a_rollout_send_is_not_compared_and_counts_in_all_else(
    referring: Path,
    phantoms: list[bytes],
    start: Callable[..., Any],
    stop: Callable[[Any], int],
    wait_until: Callable[..., None],
    tmp_path: Path,
) -> None:
    digest = read_repository(referring, "secondread").digest
    version = RegisteredVersion("secondread", 7, digest, str(referring), "", "")
    load_test = LoadTestConfig(users=2, seconds=2.0, requests_at_least=10, p99_below_ms=5000.0, as_readings=True)
    server = start(serving=referring, drift_images=IMAGES, drift_seconds=0.1)
    try:
        side = Side(version.storage_uri, ready=True, url=server.url, grpc_url=server.grpc_url)
        for kind in CHECKS:
            check, found = Check(kind, tmp_path, load_test=load_test), list[Checked]()

            def done(check: Check = check, found: list[Checked] = found) -> bool:
                found.extend(each for each in [check(version, side)] if each)
                return bool(found)

            wait_until(done, seconds=120, what=kind)
            assert found[0].passed, found[0].what
        read(server, phantoms[:2])
        # with any of theirs there would be more by now, and never fewer again
        wait_until(lambda: shown(server)[("secondread", "7")]["images"] == 2, seconds=30, what="those two alone")
        with urllib.request.urlopen(f"{server.url}/metrics", timeout=30) as response:
            families = text_string_to_metric_families(response.read().decode())
            counted = [each for family in families for each in family.samples]
        for name in ("secondread_requests_total", "secondread_predictions_total", "secondread_request_seconds_count"):
            assert sum(each.value for each in counted if each.name == name) > 10, name
    finally:
        assert stop(server) == 0


def test_callers_who_are_played_count_as_real_ones(
    referring: Path,
    start: Callable[..., Any],
    stop: Callable[[Any], int],
    wait_until: Callable[..., None],
    tmp_path: Path,
) -> None:
    server = start(serving=referring, drift_images=IMAGES, drift_seconds=0.1)
    try:
        users = LoadTestConfig(server.url, server.grpc_url, users=2, seconds=2.0, as_readings=True)
        loadtest(users, images=None, report=tmp_path / "report.html")
        wait_until(lambda: shown(server)[("secondread", "7")]["images"] > 2, seconds=30, what="them to be compared")
    finally:
        assert stop(server) == 0


def test_a_model_without_a_reference_has_no_drift(served: Any, film: Callable[..., bytes]) -> None:
    read(served, [film(1)])
    assert shown(served) == {}


def answers(outputs: Outputs) -> Answers:
    return Answers(
        outputs.probabilities.argmax(axis=1),
        outputs.probabilities.max(axis=1),
        outputs.embedding,
        np.arange(len(outputs.embedding)),
    )


def registered(version: str, statistic: str) -> float | None:
    return REGISTRY.get_sample_value(
        "secondread_drift", {"name": "watched", "version": version, "statistic": statistic}
    )


Batch = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]


def batch(images: int, rng: np.random.Generator) -> Batch:
    """What the graph might say of images: probabilities and embeddings."""
    return rng.dirichlet(np.ones(3), images).astype(np.float32), rng.normal(size=(images, 4)).astype(np.float32)


@pytest.fixture
def watch() -> Iterator[DriftWatch]:
    """One that looks only when it is told to, at the latest 120 images."""
    probabilities, embedding = batch(200, np.random.default_rng(0))
    reference = answers(Outputs(probabilities, embedding, embedding[:, 0]))
    with closing(DriftWatch("watched", "1", reference, images=IMAGES, seconds=3600)) as made:
        yield made


def test_only_the_latest_images_count_and_those_of_a_request_are_one_witness(watch: DriftWatch) -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        probabilities, embedding = batch(3, rng)
        watch.add(probabilities, embedding + 9)
    watch.look()
    assert registered("1", "images") == IMAGES
    assert registered("1", "embedding_mmd2") > 0.5  # type: ignore[operator]
    assert math.isnan(registered("1", "embedding_p_value"))  # type: ignore[arg-type]  # 120 images, 40 requests
    for _ in range(IMAGES):
        watch.add(*batch(1, rng))
    watch.look()
    assert registered("1", "embedding_p_value") > 0.01  # type: ignore[operator]


def test_it_compares_again_only_after_a_request(watch: DriftWatch) -> None:
    watch.add(*batch(IMAGES, np.random.default_rng(1)))
    watch.look()
    DRIFT.labels("watched", "1", "images").set(-1)
    watch.look()
    assert registered("1", "images") == -1
    watch.add(*batch(1, np.random.default_rng(2)))
    watch.look()
    assert registered("1", "images") == IMAGES


def test_what_is_closed_shows_nothing_any_more(watch: DriftWatch) -> None:
    assert registered("1", "images") == 0
    watch.close()
    assert registered("1", "images") is None
    assert "drift" not in {thread.name for thread in threading.enumerate()}


def test_what_cannot_be_compared_is_said_in_the_log_and_is_no_number(
    wait_until: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    probabilities, embedding = batch(200, np.random.default_rng(0))
    of_another_graph = answers(Outputs(probabilities, embedding[:, :2], embedding[:, 0]))
    with (
        caplog.at_level(logging.ERROR),
        closing(DriftWatch("watched", "2", of_another_graph, images=IMAGES, seconds=0.01)) as watch,
    ):
        DRIFT.labels("watched", "2", "embedding_mmd2").set(0.5)
        for times in (1, 2):  # it goes on looking
            watch.add(probabilities, embedding)
            wait_until(lambda: len(caplog.records) == times, seconds=10, what="a line in the log")  # noqa: B023
        wait_until(lambda: math.isnan(registered("2", "embedding_mmd2")), seconds=10, what="no number")  # type: ignore[arg-type]
    assert caplog.messages[0] == "the drift of watched version 2 cannot be told"


def test_it_can_be_turned_off(referring: Path) -> None:
    model = read_repository(referring, "secondread")
    for config, watched in ((ServeConfig(), True), (ServeConfig(drift_images=0), False)):
        version = ServedVersion([Served.at("127.0.0.1:1", model, config)])
        assert (version.first.drift is not None) == watched
        version.close()


def test_the_reference_is_no_part_of_what_a_model_is_compared_or_shown_by(referring: Path) -> None:
    model = read_repository(referring, "secondread")
    without = RepositoryModel(model.name, model.version, model.digest, model.config)
    assert model == without
    assert repr(model) == repr(without)
