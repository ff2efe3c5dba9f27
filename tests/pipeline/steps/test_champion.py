"""The graph that is served is read from wherever rollout finds it; on a cluster that is an object store."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from secondread.config.environment import Environment
from secondread.data.store.open import open_object_store
from secondread.errors import IntegrityError
from secondread.export.repository.layout import write_repository
from secondread.model.folder import ModelFolder
from secondread.pipeline.steps.champion import _served


def test_a_repository_in_a_store_becomes_the_model_folder_that_was_registered(
    running_swift, tiny_model: ModelFolder, tmp_path: Path
) -> None:
    if "swift" not in running_swift.processes:
        running_swift.start()
    running_swift.make_container("served-models")
    environment = Environment.read({**running_swift.variables(), "SECONDREAD_HOME": str(tmp_path / "home")})
    repository = write_repository(tiny_model, tmp_path / "models", name="cxr", version=3)
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
