"""A trained model as its run kept it: with weights, which the registry's own model repository has not."""

from __future__ import annotations

import os
from pathlib import Path

from secondread.errors import InputError
from secondread.model.folder import CONFIG_FILE, WEIGHTS_FILE
from secondread.tracking.runs import mlflow_errors, open_client


def fetch_model(uri: str, run_id: str, folder: Path) -> Path:
    """Fetch the model folder that a run kept.

    Args:
        uri: of MLflow.
        run_id: of the run that trained the model; empty where nobody knows.
        folder: to fetch it into.
    Returns:
        The model folder, below `folder`.
    Raises:
        InputError: the run kept none, or is not known.
        DependencyError: MLflow does not answer.
    """
    kept = f"run {run_id} in MLflow has no model folder" if run_id else "it names no run in MLflow"
    missing = InputError(
        f"no weights are kept of this model ({kept}), so it cannot be trained further. Train one with `secondread "
        "pipeline run train`."
    )
    if not run_id:
        raise missing
    client = open_client(uri)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # of a few files, in the log of a step
    with mlflow_errors(client):
        for item in client.list_artifacts(run_id):
            if not item.is_dir:
                continue
            files = {Path(file.path).name for file in client.list_artifacts(run_id, item.path)}
            if {CONFIG_FILE, WEIGHTS_FILE} <= files:
                return Path(client.download_artifacts(run_id, item.path, str(folder)))
    raise missing
