"""Real runs of the data pipeline through KFP's local runner: films in a real Swift, and versions published there."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secondread.atomic import read_json
from secondread.config.environment import Environment
from secondread.data.catalogue.catalogue import Catalogue
from secondread.data.sources.phantom.source import PhantomSource
from secondread.data.store.fetch import fetch
from secondread.data.store.lookup import open_version
from secondread.data.store.open import open_object_store, open_store
from secondread.data.store.publish import published
from secondread.data.versions.dataset import DatasetVersion
from secondread.errors import GateRefused, InputError
from secondread.pipeline.arguments import DataPipelineSettings, data_arguments
from secondread.pipeline.data_run import DataRun, run_data
from secondread.pipeline.steps.publish import publish
from secondread.pipeline.success import failures, write_success
from secondread.tracking.runs import open_client

COPIED = next(PhantomSource("phantom://cxr?images=120&size=32&classes=cxr-normal,cxr-covid").images()).name
STEPS = ("ingest", "preprocess", "audit", "publish")
SMALL: dict[str, Any] = {"preprocess": {"image_size": 32}, "audit": {"resamples": 100, "sample_images": 100}}


@dataclass
class DataPipeline:
    """The pipeline, from films that are read by S3's API to versions that are published by Swift's."""

    home: Path
    source: str
    publish_to: str
    environment: Environment

    def put(self, first: int, last: int) -> None:
        """Put some of the films into the store."""
        store = open_object_store(self.source, self.environment)
        uri = "phantom://cxr?images=120&size=32&classes=cxr-normal,cxr-covid"
        for image in list(PhantomSource(uri).images())[first:last]:
            data = image.read()
            store.write(image.name, data, sha256=hashlib.sha256(data).hexdigest())
            if image.name == COPIED:
                store.write(f"{image.label}/copy.png", data, sha256=hashlib.sha256(data).hexdigest())

    def run(self, **changes: Any) -> DataRun:
        settings = DataPipelineSettings(self.source, self.publish_to, **{**SMALL, **changes})
        return run_data(data_arguments(settings), home=self.home)


@pytest.fixture(scope="module")
def pipeline(running_swift, tmp_path_factory: pytest.TempPathFactory):
    """With a home, a container and credentials in the environment, as the steps' processes need them."""
    if "swift" not in running_swift.processes:
        running_swift.start()
    running_swift.make_container("data-pipeline")
    home = tmp_path_factory.mktemp("data-pipeline")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**running_swift.variables(), "SECONDREAD_HOME": str(home)}.items():
            patch.setenv(name, value)
        made = DataPipeline(home, "s3://data-pipeline/films", "swift://data-pipeline/versions", Environment.read())
        made.put(0, 100)
        yield made


@pytest.fixture(autouse=True)
def _reached(pipeline: DataPipeline, running_swift, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has a home of its own otherwise."""
    for name, value in {**running_swift.variables(), "SECONDREAD_HOME": str(pipeline.home)}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def first(pipeline: DataPipeline) -> DataRun:
    return pipeline.run()


def test_a_version_is_published_with_its_audit(first: DataRun, pipeline: DataPipeline, tmp_path: Path) -> None:
    assert (first.status, tuple(first.seconds), first.cached) == ("published", STEPS, ())
    assert sum(first.rejected.values()) == 1
    assert first.published == f"{pipeline.publish_to}/{first.content_hash}"
    store = open_store(pipeline.publish_to, pipeline.environment)
    assert [item.content_hash for item in published(store)] == [first.content_hash]
    version = fetch(store, first.content_hash, tmp_path / "fetched")
    assert {name: dict(classes) for name, classes in version.counts.items()} == first.counts
    assert not (version.root / "_SUCCESS.json").exists()
    local = DatasetVersion.open(first.dataset)
    assert np.array_equal(version.split("test").images, local.split("test").images)
    page = Path(first.audit).read_text()
    assert version.name in page
    assert (version.root / "audit" / "audit.html").read_text() == page
    assert "script" not in page


def test_the_catalogue_and_mlflow_know_the_version(first: DataRun, pipeline: DataPipeline) -> None:
    environment = Environment.read()
    catalogue = Catalogue(environment.catalogue_uri)
    try:
        (known,) = catalogue.versions()
    finally:
        catalogue.close()
    assert first.catalogued
    assert (known["content_hash"], known["source_uri"]) == (first.content_hash, pipeline.source)
    client = open_client(environment.mlflow_tracking_uri)
    run = client.get_run(first.mlflow_run)
    assert run.data.tags["published_to"] == first.published
    assert Path(first.audit).is_relative_to(pipeline.home / "runs" / run.data.tags["pipeline_run"])
    findings = json.loads(Path(first.audit).with_name("audit.json").read_text())
    assert {finding["name"]: finding["count"] for finding in findings["findings"]}["repeated"] == 1
    for finding in findings["findings"]:
        assert run.data.metrics[f"finding.{finding['name']}"] == finding["count"]
    assert run.data.metrics["images.test"] == sum(first.counts["test"].values())
    (item,) = run.inputs.dataset_inputs
    assert json.loads(item.dataset.source) == {"uri": first.published}
    assert [entry.path for entry in client.list_artifacts(run.info.run_id)] == ["findings"]


def test_a_second_run_takes_all_but_publishing_from_the_cache(first: DataRun, pipeline: DataPipeline) -> None:
    again = pipeline.run()
    assert again.cached == STEPS[:-1]
    assert tuple(again.seconds) == STEPS
    changing = {"seconds", "cached"}
    same = [{key: value for key, value in asdict(each).items() if key not in changing} for each in (first, again)]
    assert same[0] == same[1]


def test_a_child_keeps_its_parents_splits_and_a_gate_that_refuses_publishes_nothing(
    first: DataRun, pipeline: DataPipeline
) -> None:
    pipeline.put(100, 120)
    before = [item.content_hash for item in published(open_store(pipeline.publish_to, pipeline.environment))]
    refused = pipeline.run(parent=first.published, audit={**SMALL["audit"], "fail_on": "worth a look"})
    assert refused.status == "refused"
    assert tuple(refused.seconds) == STEPS[:-1]
    assert "of unknown" in refused.reason or "patient is not known" in refused.reason
    assert (refused.published, refused.mlflow_run, refused.catalogued) == ("", "", False)
    assert [item.content_hash for item in published(open_store(pipeline.publish_to, pipeline.environment))] == before
    assert refused.parent == first.content_hash
    assert sum(sum(classes.values()) for classes in refused.counts.values()) > 100

    splits = [DatasetVersion.open(each.dataset).manifest.set_index("image_id")["split"] for each in (first, refused)]
    assert (splits[1].loc[splits[0].index] == splits[0]).all()


def test_a_refused_version_is_not_published_whatever_the_condition_did(first: DataRun, tmp_path: Path) -> None:
    """A runner that took the gate's no for a yes."""
    audited = tmp_path / "audit"
    audited.mkdir()
    facts = read_json(Path(first.audit).parent / "_SUCCESS.json")["facts"]
    facts |= {"passed": False, "reasons": ["serious: a leak"]}
    write_success(audited, step="audit", inputs={"dataset": Path(first.dataset)}, facts=facts)
    with pytest.raises(SystemExit) as ended:
        publish(first.dataset, str(audited), str(tmp_path / "out"), publish_to=str(tmp_path / "kept"))
    assert ended.value.code == GateRefused.exit_code
    assert "serious: a leak" in failures(tmp_path)[0].message
    assert not (tmp_path / "kept").exists()


def test_an_audit_of_another_version_is_refused(first: DataRun, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write_success(other, step="preprocess", inputs={}, facts={})
    audited = tmp_path / "audit"
    audited.mkdir()
    write_success(audited, step="audit", inputs={"dataset": other}, facts={"passed": True, "reasons": []})
    with pytest.raises(SystemExit) as ended:
        publish(first.dataset, str(audited), str(tmp_path / "out"), publish_to=str(tmp_path / "kept"))
    assert ended.value.code == InputError.exit_code
    assert "is no audit of" in failures(tmp_path)[0].message


def test_a_version_is_found_by_folder_or_uri_or_the_start_of_its_hash(first: DataRun, pipeline: DataPipeline) -> None:
    for uri in (first.dataset, first.published, first.published[:-50]):
        assert open_version(uri, pipeline.environment).content_hash == first.content_hash
    with pytest.raises(InputError, match="no version 'ffffffffff' that is whole"):
        open_version(f"{pipeline.publish_to}/ffffffffff", pipeline.environment)


def test_what_goes_into_a_cluster_holds_no_secret_and_no_path(first: DataRun, pipeline: DataPipeline) -> None:
    settings = DataPipelineSettings(pipeline.source, pipeline.publish_to, parent=first.published, **SMALL)
    sent = data_arguments(settings, remote=True)
    assert sent["parent_version"] == first.content_hash
    assert (sent["source"], sent["publish_to"]) == (pipeline.source, pipeline.publish_to)
    text = json.dumps(sent)
    assert "testing" not in text
    assert str(pipeline.home) not in text
    logs = "".join(path.read_text() for path in pipeline.home.glob("runs/*/log.txt"))
    assert "testing" not in logs
    assert "test:tester" not in logs


@pytest.mark.parametrize("changed", [{"publish_to": "/mnt/versions"}, {"parent": "/mnt/versions/1"}])
def test_a_folder_is_no_place_for_a_pod(pipeline: DataPipeline, changed: dict[str, str]) -> None:
    chosen = {"source": "phantom://demo?images=90", "publish_to": pipeline.publish_to, **changed}
    with pytest.raises(InputError, match="which a pod does not reach"):
        data_arguments(DataPipelineSettings(**chosen), remote=True)


def test_credentials_in_a_uri_go_nowhere(pipeline: DataPipeline) -> None:
    settings = DataPipelineSettings("phantom://demo?images=90", "s3://key:my-secret@films/versions")
    with pytest.raises(InputError, match="must hold no credentials") as error:
        data_arguments(settings, remote=True)
    assert "my-secret" not in str(error.value)


def test_a_store_that_cannot_be_written_is_said_before_anything_runs(pipeline: DataPipeline) -> None:
    with pytest.raises(InputError, match="'no-such-place' does not exist"):
        data_arguments(DataPipelineSettings(pipeline.source, "swift://no-such-place/versions"))
