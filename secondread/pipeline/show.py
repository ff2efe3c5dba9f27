"""What a step shows in Kubeflow's pages: metrics, curves, the report and a paragraph for people."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from secondread.atomic import write_json
from secondread.data.audit.report import HTML_FILE
from secondread.evaluation.folder import REPORT_FILE, SUMMARY_FILE
from secondread.evaluation.paired.difference import PairedComparison
from secondread.evaluation.paired.report import COMPARISON_SUMMARY_FILE, PAGE_FILE
from secondread.evaluation.results import Evaluation
from secondread.logging import configure, get_logger
from secondread.model.folder import CARD_FILE
from secondread.pipeline.show_metrics import show_metrics
from secondread.pipeline.steps.load_test import PAGE_FILE as LOAD_PAGE_FILE
from secondread.pipeline.steps.load_test import SUMMARY_FILE as LOAD_SUMMARY_FILE
from secondread.serving.batch.deliver import PAGE_FILE as READINGS_PAGE_FILE

log = get_logger(__name__)

_CURVE_POINTS = 200  # as many as a page can show


def show_evaluation(
    result: Evaluation, folder: str, *, metrics: Any, curves: Any, report: str, summary: str, card: str
) -> None:
    """Fill KFP's artifacts from an evaluation.

    Args:
        result: the figures.
        folder: what the evaluate step wrote.
        metrics: `dsl.Metrics`; each figure with its bounds, as `accuracy`, `accuracy_low` and `accuracy_high`.
        curves: `dsl.ClassificationMetrics`; gets the confusion matrix and the ROC over all pairs of image and class.
        report: path of the `dsl.HTML` artifact.
        summary: path of the `dsl.Markdown` artifact: headline and the gate's lines.
        card: path of another one, the model card.
    """
    figures: dict[str, float] = {}
    for name, figure in result.metrics.items():
        figures |= {name: figure.value, f"{name}_low": figure.low, f"{name}_high": figure.high}
    show_metrics(metrics, figures)
    curves.log_confusion_matrix(list(result.classes), [list(row) for row in result.confusion])
    curve = result.roc_micro
    keep = [i for i, threshold in enumerate(curve.thresholds) if math.isfinite(threshold)]
    keep = keep[:: max(1, math.ceil(len(keep) / _CURVE_POINTS))]
    curves.log_roc_curve(*([float(axis[i]) for i in keep] for axis in (curve.fpr, curve.tpr, curve.thresholds)))
    write_json(curves.path, curves.metadata)
    shutil.copyfile(Path(folder) / REPORT_FILE, report)
    shutil.copyfile(Path(folder) / SUMMARY_FILE, summary)
    shutil.copyfile(Path(folder) / CARD_FILE, card)


def show_comparison(result: PairedComparison, folder: str, *, metrics: Any, report: str, summary: str) -> None:
    """Fill KFP's artifacts from a comparison.

    Args:
        result: the figures.
        folder: what the compare step wrote.
        metrics: `dsl.Metrics`; differences are in percentage points.
        report: path of the `dsl.HTML` artifact.
        summary: path of the `dsl.Markdown` artifact.
    """
    figures: dict[str, float] = {"mcnemar_p": result.mcnemar.p_value}
    for name, item in result.differences.items():
        figures |= {f"{name}_champion": item.champion, f"{name}_challenger": item.challenger}
        bounds = {"": item.value, "_low": item.low, "_high": item.high}
        figures |= {f"{name}_difference_points{end}": 100 * value for end, value in bounds.items()}
    show_metrics(metrics, figures)
    shutil.copyfile(Path(folder) / PAGE_FILE, report)
    shutil.copyfile(Path(folder) / COMPARISON_SUMMARY_FILE, summary)


def show_audit(facts: Mapping[str, Any], folder: str, *, metrics: Any, report: str) -> None:
    """Fill KFP's artifacts from an audit.

    Args:
        facts: of the audit step.
        folder: what it wrote.
        metrics: `dsl.Metrics`.
        report: path of the `dsl.HTML` artifact.
    """
    show_metrics(metrics, facts["figures"])
    shutil.copyfile(Path(folder) / HTML_FILE, report)


def show_load_test(facts: Mapping[str, Any], folder: str, *, metrics: Any, report: str, summary: str) -> None:
    """Fill KFP's artifacts from a load test.

    Args:
        facts: of the step.
        folder: what it wrote.
        metrics: `dsl.Metrics`.
        report: path of the `dsl.HTML` artifact.
        summary: path of the `dsl.Markdown` artifact.
    """
    show_metrics(metrics, facts["figures"])
    shutil.copyfile(Path(folder) / LOAD_PAGE_FILE, report)
    shutil.copyfile(Path(folder) / LOAD_SUMMARY_FILE, summary)


def show_scored(facts: Mapping[str, Any], folder: str, *, metrics: Any, report: str) -> None:
    """Fill KFP's artifacts from readings of many images.

    Args:
        facts: of the score step.
        folder: what it wrote.
        metrics: `dsl.Metrics`.
        report: path of the `dsl.HTML` artifact.
    """
    show_metrics(metrics, facts["figures"])
    shutil.copyfile(Path(folder) / READINGS_PAGE_FILE, report)


def show_conclusion(name: str, *, last_step: str, state: str, error: str, path: str) -> None:
    """Write how a run ended, for people, and log it.

    Args:
        name: what the run was for.
        last_step: of the pipeline.
        state: as the runner sees it, such as `SUCCEEDED`. A gate that refuses is no failure of the run.
        error: the runner's message, if any.
        path: of the `dsl.Markdown` artifact.
    """
    configure()
    text = f"The run for **{name}** ended as {state}."
    if error:
        text += f" The runner says: {error}"
    text += f" If `{last_step}` was skipped, a gate said no: see what the step before it shows."
    Path(path).write_text(text + "\n", encoding="utf-8")
    log.info("the run for %s ended as %s", name, state)
