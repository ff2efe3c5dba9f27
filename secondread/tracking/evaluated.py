"""An evaluation as a run in MLflow, by hand and in a pipeline: figures with their bounds, the gate's lines, the pages.

Nothing in the files names a patient. `predictions.parquet` names an image by the hash of its content, and has no
patient or group; the groups that intervals are drawn by, keyed hashes of patients, stay with the dataset version.
"""

from __future__ import annotations

from pathlib import Path

from secondread.atomic import read_json
from secondread.evaluation.folder import REPORT_FILE, SUMMARY_FILE
from secondread.evaluation.results import EVALUATION_FILE, PREDICTIONS_FILE
from secondread.model.folder import CARD_FILE
from secondread.tracking.asked import Asked
from secondread.tracking.evaluation_figures import curves_of, figures_of
from secondread.tracking.finished_run import FinishedRun, log_finished
from secondread.tracking.gate_tags import PASSED, line_tags
from secondread.tracking.origin import Origin

FILES = (EVALUATION_FILE, REPORT_FILE, SUMMARY_FILE, CARD_FILE, PREDICTIONS_FILE)
KIND_TAG, KIND = "kind", "evaluation"
_PARAMS = ("model", "digest", "graph", "trained_on", "dataset", "split", "own_version", "classes", "level")


def log_evaluation(uri: str, folder: Path, asked: Asked, *, origin: Origin, beside: Path) -> str:
    """Write an evaluation down in MLflow; with the same `asked` again it is the same run.

    Args:
        uri: of MLflow.
        folder: that the evaluation wrote.
        asked: what was asked for.
        origin: the run that trained the model, which this one is shown below.
        beside: folder beside which a record is left where MLflow lacks something.
    Returns:
        Id of the run; empty where MLflow does not have all of it.
    """
    document = read_json(folder / EVALUATION_FILE)
    gate = document["gate"]
    timed = (document["evidence"] or {}).get("latency") or {"machine": {}}
    run = FinishedRun(
        experiment=document["model"],
        name=f"evaluate {document['graph']} on {document['split']} of {document['dataset']}",
        asked=asked,
        origin=origin,
        tags={
            KIND_TAG: KIND,
            "synthetic": str(document["synthetic"]).lower(),
            "dataset_version": asked.dataset_version,
            **line_tags(gate["lines"]),
            PASSED: str(gate["passed"]).lower(),
        },
        params={
            **{name: document[name] for name in _PARAMS},
            **{name: timed["machine"].get(name) for name in ("cpu", "threads")},
        },
        metrics=figures_of(document),
        curves=curves_of(document),
        files={name: folder / name for name in FILES},
    )
    return log_finished(uri, run, beside=beside)


def card_uri(run_id: str) -> str:
    """Where MLflow has the model card of an evaluation.

    Args:
        run_id: of the evaluation's run.
    """
    return f"runs:/{run_id}/{CARD_FILE}"
