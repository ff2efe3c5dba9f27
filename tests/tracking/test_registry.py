"""The registry: versions by content, aliases, and a Triton repository under the digest."""

import json
from pathlib import Path

import pytest

from secondread.config.environment import Environment
from secondread.errors import DependencyError, InputError, IntegrityError
from secondread.export.repository.layout import read_repository
from secondread.export.repository.signing import verify_folder
from secondread.model.folder import ModelFolder
from secondread.tracking.promotion import Decision, promote, rollback
from secondread.tracking.registry import RegisteredVersion, Registry
from secondread.tracking.runs import TrackingConfig, open_client, open_run


@pytest.fixture
def uri(mlflow_uri: str) -> str:
    return mlflow_uri


def changed(model: ModelFolder, to: Path) -> ModelFolder:
    """The same model with another name in its configuration, so with another digest."""
    import shutil

    shutil.copytree(model.root, to)
    document = json.loads((to / "config.json").read_text())
    (to / "config.json").write_text(json.dumps({**document, "name": to.name}))
    return ModelFolder.open(to)


PASSED = {"gate.passed": "true"}


def register(registry: Registry, model: ModelFolder, folder: Path, **tags: str) -> RegisteredVersion:
    return registry.register(model, name="cxr", root=folder / "models", tags=tags, environment=Environment.read())


def test_the_first_version_is_champion_and_the_second_challenger(
    uri: str, tmp_path: Path, tiny_model: ModelFolder
) -> None:
    registry = Registry(uri)
    one = register(registry, tiny_model, tmp_path, a="b", **PASSED)
    two = register(registry, changed(tiny_model, tmp_path / "two"), tmp_path)
    assert [(item.version, item.alias) for item in registry.versions("cxr")] == [(1, "champion"), (2, "challenger")]
    assert registry.get("cxr") == one
    assert registry.get("cxr", "challenger") == two == registry.get("cxr", "2")


def test_no_version_is_champion_before_a_gate_passed_one(uri: str, tmp_path: Path, tiny_model: ModelFolder) -> None:
    """By hand the first one would be what `promote` refuses, and nobody would have said why."""
    registry = Registry(uri)
    register(registry, tiny_model, tmp_path)
    register(registry, changed(tiny_model, tmp_path / "two"), tmp_path, **{"gate.passed": "false"})
    assert registry.raw_aliases("cxr") == {"challenger": "2"}
    register(registry, changed(tiny_model, tmp_path / "three"), tmp_path, **PASSED)
    assert registry.raw_aliases("cxr") == {"challenger": "2", "champion": "3"}


def test_a_first_version_that_passes_its_gate_later_is_champion_then(
    uri: str, tmp_path: Path, tiny_model: ModelFolder
) -> None:
    registry = Registry(uri)
    assert register(registry, tiny_model, tmp_path).alias == "challenger"
    assert register(registry, tiny_model, tmp_path, **PASSED).alias == "champion"
    assert registry.raw_aliases("cxr") == {"champion": "1"}


def test_registering_an_old_version_again_takes_no_alias_from_a_newer_one(
    uri: str, tmp_path: Path, tiny_model: ModelFolder
) -> None:
    """Nor does one come back that a rollback left behind, when its run is repeated."""
    registry = Registry(uri)
    models = [changed(tiny_model, tmp_path / name) for name in ("one", "two", "three", "four")]
    for model in models[:3]:
        register(registry, model, tmp_path, **PASSED)
        if model is not models[0]:
            promote(registry, "cxr", decision=Decision("Ada", "better"), environment=Environment.read())
    rollback(registry, "cxr", decision=Decision("Ada", "worse"), environment=Environment.read())
    before = registry.raw_aliases("cxr")
    assert before == {"champion": "2", "champion-1": "1"}
    register(registry, models[2], tmp_path, **PASSED)
    assert registry.raw_aliases("cxr") == before
    register(registry, models[3], tmp_path, **PASSED)
    register(registry, models[2], tmp_path, **PASSED)
    assert registry.raw_aliases("cxr") == {**before, "challenger": "4"}


def test_the_repository_lies_under_the_digest(uri: str, tmp_path: Path, tiny_model: ModelFolder) -> None:
    version = register(Registry(uri), tiny_model, tmp_path)
    assert version.storage_uri == str(tmp_path / "models" / "cxr" / tiny_model.digest())
    assert (Path(version.storage_uri) / "cxr" / "1" / "model.onnx").is_file()


def test_the_same_model_is_registered_once(uri: str, tmp_path: Path, tiny_model: ModelFolder) -> None:
    registry = Registry(uri)
    first = register(registry, tiny_model, tmp_path)
    assert register(registry, tiny_model, tmp_path) == first
    assert len(registry.versions("cxr")) == 1


def test_a_version_that_is_judged_again_has_the_last_verdict_and_no_other_tag_is_changed(
    uri: str, tmp_path: Path, tiny_model: ModelFolder
) -> None:
    """Registered by hand first, it could not be promoted for want of a gate, however often a pipeline judged it."""
    registry = Registry(uri)
    register(registry, tiny_model, tmp_path, registered_by="Ada")
    first = {"gate.passed": "true", "gate.accuracy": "0.9", "gate.ece_below": "passed: 0.02", "model_card": "runs:/1"}
    register(registry, tiny_model, tmp_path, registered_by="pipeline", **first)
    assert {**registry.record("cxr", "1").tags, **first, "registered_by": "Ada"} == registry.record("cxr", "1").tags
    then = {"gate.passed": "true", "gate.accuracy": "0.8", "gate.accuracy_above": "passed: 0.8"}
    register(registry, tiny_model, tmp_path, **then)
    register(registry, tiny_model, tmp_path)
    tags = registry.record("cxr", "1").tags
    assert {name: text for name, text in tags.items() if name.startswith("gate.")} == then
    assert len(registry.versions("cxr")) == 1


def test_what_an_interrupted_registration_left_undone_is_done(
    uri: str, tmp_path: Path, tiny_model: ModelFolder
) -> None:
    registry = Registry(uri)
    client = open_client(uri)
    client.create_registered_model("cxr")
    client.create_model_version("cxr", source="x", tags={"digest": tiny_model.digest()})
    assert registry.versions("cxr") == []
    assert register(registry, tiny_model, tmp_path, **PASSED).version == 1
    assert registry.get("cxr").version == 1


def test_a_number_that_was_taken_meanwhile_is_not_that_of_the_repository(
    uri: str, tmp_path: Path, tiny_model: ModelFolder
) -> None:
    """MLflow gives no number twice, and does not show those that were deleted."""
    registry, client = Registry(uri), open_client(uri)
    client.create_registered_model("cxr")
    client.create_model_version("cxr", source="x")
    client.delete_model_version("cxr", "1")
    made = register(registry, tiny_model, tmp_path, **PASSED)
    assert (made.version, made.alias) == (2, "champion")
    assert client.get_model_version("cxr", "2").tags["repository_version"] == "2"
    assert read_repository(Path(made.storage_uri), "cxr").version == "2"
    assert verify_folder(Path(made.storage_uri), Environment.read().signing.trusted)


def test_a_version_whose_repository_has_another_number_is_not_there_until_it_is_mended(
    uri: str, tmp_path: Path, tiny_model: ModelFolder
) -> None:
    registry, client = Registry(uri), open_client(uri)
    register(registry, tiny_model, tmp_path)
    client.set_model_version_tag("cxr", "1", "repository_version", "7")
    assert registry.versions("cxr") == []
    with pytest.raises(IntegrityError, match="version 1 of 'cxr' is incomplete"):
        registry.get("cxr", "1")
    assert register(registry, tiny_model, tmp_path).version == 1
    assert len(registry.versions("cxr")) == 1


def test_an_unknown_version_is_named(uri: str) -> None:
    with pytest.raises(InputError, match="no model 'cxr' with version or alias 'champion'"):
        Registry(uri).get("cxr")


def test_a_run_that_fails_is_marked_so(uri: str) -> None:
    config = TrackingConfig(uri=uri, experiment="cxr", tags={"dataset_version": "abc"})
    with pytest.raises(ZeroDivisionError), open_run(config) as run:
        run.log_params({"epochs": 3})
        run.log_metrics({"loss": 0.5}, step=1)
        raise ZeroDivisionError
    found = open_client(uri).get_run(run.run_id)
    assert found.info.status == "FAILED"
    assert found.data.params == {"epochs": "3"}
    assert found.data.metrics == {"loss": 0.5}
    assert found.data.tags["dataset_version"] == "abc"


def test_files_of_a_run_lie_beside_the_database(uri: str, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    with open_run(TrackingConfig(uri=uri, experiment="cxr", tags={})) as run:
        run.log_folder(tmp_path / "model")
    assert len(list((tmp_path / "mlflow" / "artifacts").rglob("model/config.json"))) == 1


def test_a_pod_does_not_write_into_a_store_that_it_loses(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    with pytest.raises(DependencyError, match="MLFLOW_TRACKING_URI"):
        open_client(uri)


def test_a_server_that_is_down_is_said_without_its_password() -> None:
    with pytest.raises(DependencyError, match="does not answer") as caught:
        open_client("http://user:hunter2@127.0.0.1:9")
    assert "hunter2" not in str(caught.value)
