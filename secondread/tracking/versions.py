"""What MLflow knows of published dataset versions: a run for each, with the audit's figures and page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import ViewType

from secondread.tracking.datasets import TrackedDataset, log_published
from secondread.tracking.runs import TrackingConfig, mlflow_errors, open_client, open_run

EXPERIMENT = "datasets"
VERSION_TAG, PLACE_TAG = "dataset_version", "published_to"


def record_version(
    uri: str, dataset: TrackedDataset, *, figures: Mapping[str, float], tags: Mapping[str, str], folder: Path | None
) -> str:
    """Write down that a dataset version was published, once for each place that it was published to.

    Args:
        uri: of MLflow.
        dataset: with the URI that it was published under.
        figures: of it and of its audit, by name.
        tags: further facts, as text.
        folder: kept with the run, such as the audit's page; None for nothing.
    Returns:
        Id of the run; of the one that is there already, where it is.
    Raises:
        DependencyError: MLflow does not answer.
    """
    known = {VERSION_TAG: dataset.version.content_hash, PLACE_TAG: dataset.uri}
    client = open_client(uri)
    with mlflow_errors(client):
        found = _found(client, known)
    if found:
        return found
    version = dataset.version
    facts = {"mlflow.runName": version.name, "synthetic": str(version.synthetic).lower()}
    if version.parent:
        facts["parent"] = version.parent
    with open_run(TrackingConfig(uri=uri, experiment=EXPERIMENT, tags={**facts, **tags})) as run:
        with mlflow_errors(client):
            log_published(client, run.run_id, dataset)
        run.log_metrics(figures, step=0)
        if folder:
            run.log_folder(folder)
        run.set_tags(known)  # last: a run without them is one that was cut
    return run.run_id


def _found(client: MlflowClient, tags: Mapping[str, str]) -> str:
    """Id of the run that has these tags; empty if there is none."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return ""
    quoted = (f"tags.{name} = '{value}'" for name, value in tags.items() if "'" not in value)
    asked = " and ".join([*quoted, "attributes.status = 'FINISHED'"])
    runs = client.search_runs([experiment.experiment_id], asked, ViewType.ACTIVE_ONLY, max_results=50)
    same = (run for run in runs if all(run.data.tags.get(name) == value for name, value in tags.items()))
    return next((str(run.info.run_id) for run in same), "")
