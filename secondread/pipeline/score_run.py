"""A run of the scoring pipeline on this machine, and what it gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondread.config.score import ScoreConfig
from secondread.errors import SecondReadError
from secondread.pipeline.run import cached_of, run_steps, seconds_of
from secondread.serving.batch.deliver import PAGE_FILE, TABLE_FILE


@dataclass(frozen=True)
class ScoreRun:
    """What a run of the scoring pipeline gave; empty where it did not get that far.

    Attributes:
        status: `delivered`, or `refused` by the gate.
        reason: why it was refused.
        model: name, version, digest and repository of the model that read.
        images: in the table.
        unreadable: of these.
        out_of_distribution: of those that could be read.
        labels, urgency: of those that could be read, images by class and by urgency.
        errors: of those that could not be read, by reason.
        readings: the table; it is there after a refusal too.
        report: the page of what it comes to.
        delivered: URI of the table in the store.
        seconds: by step; 0 for a cached one.
        cached: names of the steps that were not run.
    """

    status: str
    reason: str
    model: Mapping[str, str]
    images: int
    unreadable: int
    out_of_distribution: int
    labels: Mapping[str, int]
    urgency: Mapping[str, int]
    errors: Mapping[str, int]
    readings: str
    report: str
    delivered: str
    seconds: Mapping[str, float]
    cached: tuple[str, ...]


def run_scoring(arguments: Mapping[str, Any], *, home: Path, reuse: bool = True) -> ScoreRun:
    """Run the scoring pipeline: see `run_steps`. A gate that refuses is an answer, with `status` `refused`."""
    steps = run_steps("batch-score", arguments, home=home, reuse=reuse)
    if "score" not in steps:
        raise SecondReadError("the pipeline ended without readings, and without an error. Please report this.")
    scored, folder = steps["score"].facts, Path(steps["score"].outputs["readings"].path)
    delivered = steps["deliver"].facts if "deliver" in steps else {}
    refusal = ScoreConfig(arguments["unreadable_at_most"]).refusal(scored["unreadable"], scored["images"])
    if not delivered and not refusal:
        raise SecondReadError("the gate said yes, but the pipeline did not go on. Please report this.")
    counts = ("model", "images", "unreadable", "out_of_distribution", "labels", "urgency", "errors")
    return ScoreRun(
        status="delivered" if delivered else "refused",
        reason=refusal,
        **{name: scored[name] for name in counts},
        readings=str(folder / TABLE_FILE),
        report=str(folder / PAGE_FILE),
        delivered=delivered.get("uri", ""),
        seconds=seconds_of(steps),
        cached=cached_of(steps),
    )
