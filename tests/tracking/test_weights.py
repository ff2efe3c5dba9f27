"""A run's model folder comes back whole, and what a run did not keep is said."""

import shutil
from pathlib import Path

import pytest

from secondread.errors import InputError
from secondread.model.folder import ModelFolder
from secondread.tracking.runs import TrackingConfig, open_run
from secondread.tracking.weights import fetch_model


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('weights')}/mlflow.db"


def kept(uri: str, *folders: Path) -> str:
    """Id of a run that kept these folders."""
    with open_run(TrackingConfig(uri=uri, experiment="cxr", tags={})) as run:
        for folder in folders:
            run.log_folder(folder)
    return run.run_id


def test_the_folder_with_the_weights_is_found_among_others(uri: str, tmp_path: Path, tiny_model: ModelFolder) -> None:
    model, pictures = tmp_path / "third-try", tmp_path / "misread"
    shutil.copytree(tiny_model.root, model)
    (model / "model.safetensors").write_bytes(b"weights")
    pictures.mkdir()
    (pictures / "config.json").write_text("{}")
    fetched = fetch_model(uri, kept(uri, pictures, model), tmp_path / "fetched")
    assert {path.name for path in fetched.iterdir()} == {path.name for path in model.iterdir()}
    assert (fetched / "model.safetensors").read_bytes() == b"weights"


def test_a_run_without_weights_is_said(uri: str, tmp_path: Path, tiny_model: ModelFolder) -> None:
    with pytest.raises(InputError, match=r"no weights are kept of this model \(run .* has no model folder\)"):
        fetch_model(uri, kept(uri, tiny_model.root), tmp_path / "fetched")
    with pytest.raises(InputError, match="it names no run in MLflow"):
        fetch_model(uri, "", tmp_path / "fetched")
