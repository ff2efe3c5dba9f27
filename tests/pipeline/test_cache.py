"""The cache hands out only what is still whole. KFP's own classes are used throughout."""

import json
from pathlib import Path

import pytest
from kfp import dsl

from secondread.pipeline.cache import StepRun, VerifiedCache
from secondread.pipeline.success import write_success
from secondread.tracking.runs import TrackingConfig, open_client, open_run

KEY = {"component_name": "comp-ingest", "image": "python", "full_command": ["x"], "arguments": {"source": "a"}}


class Watch:
    def __init__(self, folder: Path) -> None:
        self.started: list[str] = []
        self.ended: list[StepRun] = []
        self.cache = VerifiedCache(str(folder), on_start=self.started.append, on_end=self.ended.append)

    def look_up(self, **changes: object) -> tuple[str, dict[str, object] | None]:
        key = self.cache.compute_key(**{**KEY, **changes})
        return key, self.cache.get(key)


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    return Watch(tmp_path / "cache")


@pytest.fixture
def outputs(tmp_path: Path) -> dict[str, dsl.Artifact]:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "manifest.parquet").write_bytes(b"rows")
    write_success(folder, step="ingest", inputs={}, facts={"images": 3})
    return {"images": dsl.Dataset(name="images", uri=str(folder), metadata={})}


def test_a_whole_result_is_handed_out_again(watch: Watch, outputs: dict[str, dsl.Artifact]) -> None:
    key, found = watch.look_up()
    assert found is None
    watch.cache.put(key, outputs)
    _, found = watch.look_up()
    assert found is not None
    assert found["images"].uri == outputs["images"].uri
    assert [run.cached for run in watch.ended] == [False, True]
    assert watch.ended[1].facts == {"images": 3}


def test_other_arguments_are_another_result(watch: Watch, outputs: dict[str, dsl.Artifact]) -> None:
    key, _ = watch.look_up()
    watch.cache.put(key, outputs)
    assert watch.look_up(arguments={"source": "b"})[1] is None


@pytest.mark.parametrize("damage", ["gone", "changed", "unsealed"])
def test_a_damaged_result_is_a_miss(
    watch: Watch, outputs: dict[str, dsl.Artifact], tmp_path: Path, damage: str
) -> None:
    key, _ = watch.look_up()
    watch.cache.put(key, outputs)
    folder = tmp_path / "images"
    if damage == "gone":
        folder.rename(tmp_path / "elsewhere")
    elif damage == "changed":
        (folder / "manifest.parquet").write_bytes(b"other")
    else:
        (folder / "_SUCCESS.json").unlink()
    assert watch.look_up()[1] is None


def test_a_success_without_a_manifest_is_not_believed(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    key, _ = watch.look_up()
    watch.cache.put(key, {"images": dsl.Dataset(name="images", uri=str(tmp_path / "images"), metadata={})})
    assert "no success manifest" in str(watch.cache.problem)
    assert watch.look_up()[1] is None


@pytest.mark.parametrize("loss", ["deleted", "another MLflow"])
def test_a_model_whose_training_run_is_gone_is_a_miss(
    watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loss: str
) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with open_run(TrackingConfig(uri=uri, experiment="cxr", tags={})) as run:
        pass
    (tmp_path / "model").mkdir()
    write_success(tmp_path / "model", step="train", inputs={}, facts={"mlflow_run": run.run_id})
    key, _ = watch.look_up()
    watch.cache.put(key, {"model": dsl.Model(name="model", uri=str(tmp_path / "model"), metadata={})})
    assert watch.look_up()[1] is not None
    if loss == "deleted":
        open_client(uri).delete_run(run.run_id)
    else:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/other.db")
    assert watch.look_up()[1] is None


def test_the_two_evaluations_are_told_apart(watch: Watch) -> None:
    for split in ("val", "test"):
        watch.look_up(component_name="comp-evaluate-2", arguments={"split": split})
    assert watch.started == ["evaluate on val", "evaluate on test"]


def test_entries_are_kfps_own(watch: Watch, outputs: dict[str, dsl.Artifact], tmp_path: Path) -> None:
    key, _ = watch.look_up()
    watch.cache.put(key, outputs)
    assert "images" in json.loads((tmp_path / "cache" / f"{key}.json").read_text())
