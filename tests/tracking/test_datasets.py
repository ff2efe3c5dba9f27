"""Dataset versions in a real MLflow on SQLite, read back through MLflow's own client."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from secondread.config.ingest import IngestConfig
from secondread.config.preprocess import PreprocessConfig
from secondread.data.ingest import ingest
from secondread.data.manifest import COLUMNS
from secondread.data.versions.dataset import DatasetVersion
from secondread.data.versions.version import write_dataset_version
from secondread.errors import InputError
from secondread.tracking.datasets import TrackedDataset
from secondread.tracking.runs import TrackingConfig, open_client, open_run
from secondread.tracking.versions import record_version


@pytest.fixture(scope="module")
def uri(empty_mlflow: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """One database for all."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    shutil.copyfile(empty_mlflow, path)
    return f"sqlite:///{path}"


@pytest.fixture(scope="module")
def version(film: Callable[[int], bytes], tmp_path_factory: pytest.TempPathFactory) -> DatasetVersion:
    folder = tmp_path_factory.mktemp("version")
    for index in range(40):
        path = folder / "films" / ("cxr-normal" if index < 20 else "cxr-covid") / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(film(index))
    ingest(IngestConfig(source=str(folder / "films")), folder / "ingested", patient_key=folder / "key")
    return write_dataset_version(folder / "ingested", folder / "version", PreprocessConfig(image_size=32))


def inputs_of(uri: str, run_id: str) -> dict[str, Any]:
    """Each input of a run by its context."""
    inputs = open_client(uri).get_run(run_id).inputs.dataset_inputs
    return {{tag.key: tag.value for tag in item.tags}["mlflow.data.context"]: item for item in inputs}


def test_a_training_run_has_its_train_and_val_images_as_inputs(uri: str, version: DatasetVersion) -> None:
    dataset = TrackedDataset(version, "s3://films/versions/v1")
    with open_run(TrackingConfig(uri=uri, experiment="cxr", tags={}, dataset=dataset)) as run:
        pass
    inputs = inputs_of(uri, run.run_id)
    assert set(inputs) == {"training", "validation"}
    for context, split in (("training", "train"), ("validation", "val")):
        entity = inputs[context].dataset
        assert entity.name == f"cxr-32px-{split}"
        assert entity.digest == version.content_hash[:36]
        tags = {tag.key: tag.value for tag in inputs[context].tags}
        assert (tags["content_hash"], tags["uri"]) == (version.content_hash, "s3://films/versions/v1")
        assert (entity.source_type, json.loads(entity.source)) == ("s3", {"uri": "s3://films/versions/v1"})
        counts = version.counts[split]
        assert json.loads(entity.profile) == {"images": sum(counts.values()), split: dict(counts)}
        columns = json.loads(entity.schema)["mlflow_colspec"]
        assert [column["name"] for column in columns] == list(COLUMNS)
        assert {column["name"]: column["type"] for column in columns}["age"] == "float"


def test_mlflows_own_reader_finds_the_source(uri: str, version: DatasetVersion) -> None:
    from mlflow.data import get_source

    dataset = TrackedDataset(version, "s3://films/versions/v1")
    with open_run(TrackingConfig(uri=uri, experiment="cxr", tags={}, dataset=dataset)) as run:
        pass
    assert get_source(inputs_of(uri, run.run_id)["training"].dataset).uri == "s3://films/versions/v1"


@pytest.mark.parametrize(
    ("place", "kind"), [("swift://films/v/1", "swift"), ("/mnt/versions/1", "local"), ("file:///mnt/1", "local")]
)
def test_where_a_version_lies_is_said_by_its_kind(uri: str, version: DatasetVersion, place: str, kind: str) -> None:
    config = TrackingConfig(uri=uri, experiment=f"at {place}", tags={}, dataset=TrackedDataset(version, place))
    with open_run(config) as run:
        pass
    entity = inputs_of(uri, run.run_id)["training"].dataset
    assert (entity.source_type, json.loads(entity.source)["uri"]) == (kind, place)


def test_the_same_version_at_another_place_is_told_by_a_tag(uri: str, version: DatasetVersion) -> None:
    """MLflow has one dataset for a name and digest, whose source is the first that it was told."""
    for place in ("s3://films/here", "s3://films/there"):
        run_id = record_version(uri, TrackedDataset(version, place), figures={}, tags={}, folder=None)
        tags = {tag.key: tag.value for tag in inputs_of(uri, run_id)["published"].tags}
        assert tags["uri"] == place


def test_a_published_version_is_a_run_with_its_figures_and_the_audits_page(
    uri: str, version: DatasetVersion, tmp_path: Path
) -> None:
    page = tmp_path / "findings" / "audit.html"
    page.parent.mkdir()
    page.write_text("<p>two findings</p>")
    dataset = TrackedDataset(version, "swift://films/versions/v2")
    run_id = record_version(
        uri, dataset, figures={"images": 40.0, "finding.repeated": 2.0}, tags={"audit": "serious"}, folder=page.parent
    )
    client = open_client(uri)
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert client.get_experiment(run.info.experiment_id).name == "datasets"
    assert run.data.metrics == {"images": 40.0, "finding.repeated": 2.0}
    assert run.data.tags["audit"] == "serious"
    assert run.data.tags["dataset_version"] == version.content_hash
    entity = inputs_of(uri, run_id)["published"].dataset
    assert (entity.name, entity.digest) == ("cxr-32px", version.content_hash[:36])
    assert json.loads(entity.profile) == {"images": 40, **version.counts}
    assert [item.path for item in client.list_artifacts(run_id, "findings")] == ["findings/audit.html"]


def test_a_version_is_written_down_once_for_each_place(uri: str, version: DatasetVersion) -> None:
    def record(place: str) -> str:
        return record_version(uri, TrackedDataset(version, place), figures={}, tags={}, folder=None)

    first = record("s3://films/it's here/v1")
    assert record("s3://films/it's here/v1") == first
    assert record("s3://elsewhere/v1") != first
    open_client(uri).delete_run(first)
    assert record("s3://films/it's here/v1") != first


def test_a_run_that_was_cut_is_no_record(uri: str, version: DatasetVersion) -> None:
    dataset = TrackedDataset(version, "s3://films/cut/v1")
    with pytest.raises(InputError, match=r"MLflow at .* refuses"):
        record_version(uri, dataset, figures={"no (name)\n": 1.0}, tags={}, folder=None)
    run_id = record_version(uri, dataset, figures={}, tags={}, folder=None)
    assert open_client(uri).get_run(run_id).info.status == "FINISHED"
