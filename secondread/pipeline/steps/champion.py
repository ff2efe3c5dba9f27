"""Step: from the registry's champion to a model folder: the graph that is served, and the weights that it came from."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from secondread.atomic import atomic_folder, read_json, write_json
from secondread.config.environment import Environment
from secondread.errors import InputError, IntegrityError
from secondread.export.repository.layout import EXPLAIN_SUFFIX, GRAPH_FILE, read_repository
from secondread.export.repository.opened import opened_repository
from secondread.export.repository.signing import verify_folder
from secondread.model.folder import CONFIG_FILE, EXPLAIN_GRAPH, WEIGHTS_FILE, ModelConfigFile, ModelFolder
from secondread.pipeline.steps.begin import begin
from secondread.pipeline.success import recorded, verify_success, write_success


def champion(dataset: str, output: str, *, name: str, digest: str = "") -> dict[str, Any]:
    """Fetch the champion of a name, if a trusted key signed it and it learned from the parent of a dataset version.

    Args:
        dataset: what step `fetch` wrote. Its parent is what the champion learned from, so that neither of the two
            models that are to be compared has seen the test images.
        output: model folder to write.
        name: of the model, in the registry.
        digest: of the champion when the run was asked for; refused if another version is champion now.
    Returns:
        `version`, `digest`, `storage_uri`, `dataset_version` and `mlflow_run`.
    """
    from secondread.tracking.registry import Registry

    environment, folder = begin(), Path(output)
    with recorded("champion", folder):
        parent = verify_success(Path(dataset), step="fetch")["parent"]
        found = Registry(environment.mlflow_tracking_uri).get(name)
        if digest and found.digest != digest:
            raise IntegrityError(
                f"the champion of '{name}' is another by now (version {found.version}). Start the run again."
            )
        with atomic_folder(folder, marker=CONFIG_FILE) as aside:
            _served(found.storage_uri, name, found.digest, aside, environment)
            learned_from = ModelFolder.open(aside).config.dataset_version
            if learned_from != parent:
                raise InputError(
                    f"the champion of '{name}' (version {found.version}) learned from dataset version "
                    f"{learned_from[:12]}, and not from the parent {parent[:12]}: it may have seen the test images. "
                    f"Name a child of {learned_from[:12]}, and that one as its parent."
                )
            _weights(found.run_id, aside, environment)
        facts = {
            "version": found.version,
            "digest": found.digest,
            "storage_uri": found.storage_uri,
            "dataset_version": learned_from,
            "champion_run": found.run_id,
        }
        write_success(folder, step="champion", inputs={"dataset": Path(dataset)}, facts=facts)
    return facts


def _served(storage_uri: str, name: str, digest: str, folder: Path, environment: Environment) -> None:
    """The graphs that are served and their `config.json`, out of the signed repository that rollout deploys.

    The digest is that of what was copied: whoever may write to the store can name any other in `config.json`.
    """
    with opened_repository(storage_uri, environment) as repository:
        verify_folder(repository, environment.signing.trusted)
        model = read_repository(repository, name)
        version = repository / name / model.version
        shutil.copyfile(version / GRAPH_FILE, folder / model.config.graph)
        explain = repository / f"{name}{EXPLAIN_SUFFIX}" / model.version / GRAPH_FILE
        if explain.is_file():
            shutil.copyfile(explain, folder / EXPLAIN_GRAPH)
        document = read_json(version / CONFIG_FILE)
    # what the repository adds; without it the folder has the digest of the one that was registered
    write_json(folder / CONFIG_FILE, {key: document[key] for key in document if key not in ("digest", "graph_sha256")})
    if ModelFolder.open(folder).digest() != digest:
        raise IntegrityError(f"{storage_uri} holds another model than the registry says. Register the model again.")


def _weights(run_id: str, folder: Path, environment: Environment) -> None:
    """The weights that the graph was exported from, out of the run that trained them."""
    from secondread.tracking.weights import fetch_model

    with tempfile.TemporaryDirectory(prefix="secondread-champion-") as fetched:
        trained = fetch_model(environment.mlflow_tracking_uri, run_id, Path(fetched))
        theirs, ours = (ModelConfigFile.read(place / CONFIG_FILE) for place in (trained, folder))
        for field in ("architecture", "dataset_version", "temperature", "margin_power"):
            if getattr(theirs, field) != getattr(ours, field):
                raise IntegrityError(
                    f"run {run_id} in MLflow holds another model than the one that is served: its {field} differs. "
                    "Train a model again with `secondread pipeline run train`."
                )
        shutil.copyfile(trained / WEIGHTS_FILE, folder / WEIGHTS_FILE)
