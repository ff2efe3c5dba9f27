"""A run of the data pipeline on this machine, and what it gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondread.data.audit.report import HTML_FILE
from secondread.errors import SecondReadError
from secondread.pipeline.run import cached_of, run_steps, seconds_of


@dataclass(frozen=True)
class DataRun:
    """What a run of the data pipeline gave; empty where it did not get that far.

    Attributes:
        status: `published`, or `refused` by the audit's gate.
        reason: what the audit refused; empty where it did not.
        images: folder that ingest wrote.
        rejected: images that ingest left out, by reason.
        dataset: folder of the dataset version.
        content_hash, parent: of the version; the parent's is empty if it has none.
        counts: images by split and class.
        severity: of the worst that the audit found.
        audit: its page.
        published: URI of the version in the store.
        catalogued: it is in the catalogue.
        mlflow_run: id of the run that tells of the version.
        seconds: by step; 0 for a cached one.
        cached: names of the steps that were not run.
    """

    status: str
    reason: str
    images: str
    rejected: Mapping[str, int]
    dataset: str
    content_hash: str
    parent: str
    counts: Mapping[str, Mapping[str, int]]
    severity: str
    audit: str
    published: str
    catalogued: bool
    mlflow_run: str
    seconds: Mapping[str, float]
    cached: tuple[str, ...]


def run_data(arguments: Mapping[str, Any], *, home: Path, reuse: bool = True) -> DataRun:
    """Run the data pipeline: see `run_steps`. A gate that refuses is an answer, with `status` `refused`."""
    steps = run_steps("data", arguments, home=home, reuse=reuse)
    if "audit" not in steps:
        raise SecondReadError("the pipeline ended without an audit, and without an error. Please report this.")
    audited, made = steps["audit"], steps["preprocess"]
    published = steps["publish"].facts if "publish" in steps else {}
    if not published and audited.facts["passed"]:
        raise SecondReadError("the audit said yes, but the pipeline did not go on. Please report this.")
    return DataRun(
        status="published" if published else "refused",
        reason="; ".join(audited.facts["reasons"]),
        images=steps["ingest"].outputs["images"].path,
        rejected=steps["ingest"].facts["rejected"],
        dataset=made.outputs["dataset"].path,
        content_hash=made.facts["content_hash"],
        parent=made.facts["parent"],
        counts=made.facts["counts"],
        severity=audited.facts["severity"],
        audit=str(Path(audited.outputs["findings"].path) / HTML_FILE),
        published=published.get("uri", ""),
        catalogued=published.get("catalogued", False),
        mlflow_run=published.get("mlflow_run", ""),
        seconds=seconds_of(steps),
        cached=cached_of(steps),
    )
