"""What the steps of a rollout show in Kubeflow's pages. Apart from `show`, whose pages take seconds to import."""

from __future__ import annotations

import html
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from secondread.pipeline.show_metrics import show_metrics
from secondread.pipeline.steps.end_rollout import TIMELINE_FILE
from secondread.pipeline.steps.rollout_stage import REPORT_FILE


def show_rollout_stage(facts: Mapping[str, Any], folder: str, *, metrics: Any, report: str) -> None:
    """Fill KFP's artifacts from a stage of a rollout.

    Args:
        facts: of the step.
        folder: what it wrote.
        metrics: `dsl.Metrics`.
        report: path of the `dsl.HTML` artifact.
    """
    show_metrics(metrics, facts["figures"])
    shutil.copyfile(Path(folder) / REPORT_FILE, report)


def show_rollout(facts: Mapping[str, Any], folder: str, *, timeline: str, conclusion: str) -> None:
    """Fill KFP's artifacts from a rollout that has ended, or was never begun.

    Args:
        facts: of the step.
        folder: what it wrote.
        timeline: path of the `dsl.HTML` artifact.
        conclusion: path of the `dsl.Markdown` artifact.
    """
    page = Path(folder) / TIMELINE_FILE
    if page.is_file():
        shutil.copyfile(page, timeline)
    else:
        Path(timeline).write_text(f"<!doctype html><p>{html.escape(facts['conclusion'])}</p>\n", encoding="utf-8")
    Path(conclusion).write_text(facts["conclusion"] + "\n", encoding="utf-8")
