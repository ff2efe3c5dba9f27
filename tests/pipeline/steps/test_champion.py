"""The graph that is served is read from wherever rollout finds it, if it is what a trusted key signed."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from secondread.atomic import read_json, write_json
from secondread.config.environment import Environment
from secondread.data.store.open import open_object_store
from secondread.errors import IntegrityError
from secondread.export.repository.layout import read_repository, write_repository
from secondread.export.repository.signing import sign_folder
from secondread.export.repository.signing_key import make_key_pair, signing_key
from secondread.model.folder import ModelFolder
from secondread.pipeline.steps.champion import _served


def signed(model: ModelFolder, root: Path, environment: Environment) -> Path:
    """The repository of a model, signed by whom the environment trusts."""
    folder = write_repository(model, root, name="cxr", version=3)
    sign_folder(folder, signing_key(environment.signing))
    return folder


@pytest.fixture
def repository(tiny_model: ModelFolder, tmp_path: Path) -> Path:
    return signed(tiny_model, tmp_path / "models", Environment.read())


@pytest.fixture
def to(tmp_path: Path) -> Path:
    folder = tmp_path / "champion"
    folder.mkdir()
    return folder


def test_a_repository_in_a_store_becomes_the_model_folder_that_was_registered(
    running_swift, tiny_model: ModelFolder, tmp_path: Path
) -> None:
    if "swift" not in running_swift.processes:
        running_swift.start()
    running_swift.make_container("served-models")
    environment = Environment.read({**running_swift.variables(), "SECONDREAD_HOME": str(tmp_path / "home")})
    repository = signed(tiny_model, tmp_path / "models", environment)
    uri = f"swift://served-models/cxr/{tiny_model.digest()}"
    store = open_object_store(uri, environment)
    for path in repository.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            store.write(path.relative_to(repository).as_posix(), data, sha256=hashlib.sha256(data).hexdigest())

    (tmp_path / "champion").mkdir()
    _served(uri, "cxr", tiny_model.digest(), tmp_path / "champion", environment)
    assert ModelFolder.open(tmp_path / "champion").digest() == tiny_model.digest()
    with pytest.raises(IntegrityError, match="holds another model than the registry says"):
        _served(uri, "cxr", "0" * 64, tmp_path / "champion", environment)


def test_a_graph_that_was_swapped_under_the_registered_digest_is_refused(
    repository: Path, tiny_model: ModelFolder, to: Path
) -> None:
    """A worse champion would let any challenger in: who may write to the store must not choose it."""
    version = repository / "cxr" / "3"
    graph = (version / "model.onnx").read_bytes() + b"\0"
    (version / "model.onnx").write_bytes(graph)
    document = read_json(version / "config.json")
    write_json(version / "config.json", {**document, "graph_sha256": hashlib.sha256(graph).hexdigest()})
    assert read_repository(repository, "cxr").digest == tiny_model.digest()  # all that it says of itself fits
    with pytest.raises(IntegrityError, match=r"is not what was signed \(changed: cxr/3/config.json"):
        _served(str(repository), "cxr", tiny_model.digest(), to, Environment.read())
    sign_folder(repository, signing_key(Environment.read().signing))
    with pytest.raises(IntegrityError, match="holds another model than the registry says"):
        _served(str(repository), "cxr", tiny_model.digest(), to, Environment.read())


def test_what_nobody_signed_who_is_trusted_is_no_champion(
    repository: Path, tiny_model: ModelFolder, to: Path, tmp_path: Path
) -> None:
    environment = Environment.read()
    other = make_key_pair(tmp_path / "other").path.with_suffix(".pub")
    stranger = replace(environment, signing=replace(environment.signing, trusted=other))
    with pytest.raises(IntegrityError, match="which is not trusted here"):
        _served(str(repository), "cxr", tiny_model.digest(), to, stranger)
    (repository / "model.sig").unlink()
    with pytest.raises(IntegrityError, match="is not signed"):
        _served(str(repository), "cxr", tiny_model.digest(), to, environment)


def test_the_digest_of_an_older_folder_is_kept(tiny_model: ModelFolder, to: Path, tmp_path: Path) -> None:
    """Its `config.json` lacks what a later library adds, and the repository must not add it either."""
    older = tmp_path / "older"
    shutil.copytree(tiny_model.root, older)
    document = read_json(older / "config.json")
    write_json(older / "config.json", {key: document[key] for key in document if key != "margin_power"})
    model, environment = ModelFolder.open(older), Environment.read()
    repository = signed(model, tmp_path / "models", environment)
    _served(str(repository), "cxr", model.digest(), to, environment)
    assert ModelFolder.open(to).digest() == model.digest() != tiny_model.digest()
