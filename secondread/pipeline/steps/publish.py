"""Step: put a dataset version that passed its audit where others find it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from secondread.atomic import read_json, sha256_file
from secondread.config.environment import Environment
from secondread.data.versions.dataset import DatasetVersion
from secondread.errors import GateRefused, IntegrityError
from secondread.logging import get_logger
from secondread.pipeline.code import code_fingerprint, git_revision
from secondread.pipeline.steps.begin import begin
from secondread.pipeline.success import SUCCESS_FILE, recorded, verify_success, write_success

log = get_logger(__name__)


def publish(dataset: str, audit: str, output: str, *, publish_to: str, pipeline_run: str = "") -> dict[str, Any]:
    """Publish a version and its audit, add it to the catalogue, and write it down in MLflow.

    What is done already is not done again.

    Args:
        dataset: what step `preprocess` wrote.
        audit: what step `audit` wrote of exactly that version.
        output: folder to write; it holds the record alone.
        publish_to: root of the store of versions.
        pipeline_run: id of the run that this step belongs to; a local runner says it in the environment.
    Returns:
        `uri` of the version, objects `sent` and `there`, whether it is in the catalogue, and `mlflow_run`.
    """
    from secondread.data.store.open import open_store
    from secondread.data.store.publish import publish as run_publish

    environment, folder, audited = begin(), Path(output), Path(audit)
    with recorded("publish", folder):
        verify_success(Path(dataset), step="preprocess")
        verdict = verify_success(audited, step="audit")
        _check_verdict(Path(dataset), audited, verdict)
        version = DatasetVersion.open(dataset)
        done = run_publish(version, open_store(publish_to, environment), audit=audited)
        run = environment.pipeline_run or pipeline_run
        facts = {
            "content_hash": version.content_hash,
            "uri": done.uri,
            "sent": done.sent,
            "there": done.there,
            "bytes": done.size,
            "catalogued": _catalogue(version, environment),
            "mlflow_run": _write_down(version, done.uri, environment, verdict, audited, run),
        }
        folder.mkdir(parents=True, exist_ok=True)
        write_success(folder, step="publish", inputs={"dataset": Path(dataset), "audit": audited}, facts=facts)
    return facts


def _check_verdict(dataset: Path, audited: Path, verdict: Mapping[str, Any]) -> None:
    """Refuse a version whose own audit is missing or says no, whatever the pipeline's condition did."""
    inputs = read_json(audited / SUCCESS_FILE)["inputs"]
    if inputs["dataset"] != sha256_file(dataset / SUCCESS_FILE):
        raise IntegrityError(f"{audited} is no audit of {dataset}. Audit the version that is to be published.")
    if not verdict["passed"]:
        raise GateRefused(f"the audit refused this version: {'; '.join(verdict['reasons'])}.")


def _catalogue(version: DatasetVersion, environment: Environment) -> bool:
    """Add the version to the catalogue, unless that is a file which a pod loses."""
    from secondread.data.catalogue.catalogue import Catalogue

    if environment.catalogue_uri.startswith("sqlite") and "KUBERNETES_SERVICE_HOST" in os.environ:
        log.info("no catalogue: SECONDREAD_CATALOGUE_URI names none that a pod reaches")
        return False
    catalogue = Catalogue(environment.catalogue_uri)
    try:
        catalogue.add(version)
    finally:
        catalogue.close()
    return True


def _write_down(
    version: DatasetVersion,
    uri: str,
    environment: Environment,
    verdict: Mapping[str, Any],
    audited: Path,
    pipeline_run: str,
) -> str:
    """Id of the run in MLflow that tells of the version."""
    from secondread.tracking.datasets import TrackedDataset
    from secondread.tracking.versions import record_version

    counts = {f"images.{split}": float(sum(classes.values())) for split, classes in version.counts.items()}
    tags = {
        "audit": verdict["severity"],
        "pipeline_run": pipeline_run,
        "code_fingerprint": code_fingerprint(),
        "git_revision": git_revision(environment),
    }
    return record_version(
        environment.mlflow_tracking_uri,
        TrackedDataset(version, uri),
        figures={**counts, **verdict["figures"]},
        tags=tags,
        folder=audited,
    )
