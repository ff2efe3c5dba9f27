"""What an evaluation leaves in its folder.

evaluation.json       the figures, for machines
predictions.parquet   one row an image: image_id, label, predicted, confidence, probabilities; no patient
report.html           the figures and pictures, for people, in one file
summary.md            the headline
MODEL_CARD.md         the model's card, with what this evaluation found
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from secondread.atomic import write_json
from secondread.evaluation.report.page import Gallery, render_html, summary_markdown
from secondread.evaluation.results import EVALUATION_FILE, PREDICTIONS_FILE, Evaluation
from secondread.model.folder import CARD_FILE

REPORT_FILE = "report.html"
SUMMARY_FILE = "summary.md"


def fill_folder(
    folder: Path,
    evaluation: Evaluation,
    gallery: Gallery,
    card: str,
    image_ids: npt.NDArray[Any],
    *,
    labels: npt.NDArray[np.int64],
    probabilities: npt.NDArray[np.float32],
) -> None:
    """Write all of it.

    Args:
        folder: to write to.
        evaluation: the figures.
        gallery: the pictures.
        card: of the model, Markdown.
        image_ids: str (images,).
        labels: int64 (images,), in the order of the evaluation's classes.
        probabilities: float32 (images, classes).
    """
    write_json(folder / EVALUATION_FILE, evaluation.to_json())
    _predictions(evaluation.classes, image_ids, labels, probabilities).to_parquet(
        folder / PREDICTIONS_FILE, index=False, compression="zstd"
    )
    (folder / REPORT_FILE).write_text(render_html(evaluation, gallery), encoding="utf-8")
    (folder / SUMMARY_FILE).write_text(summary_markdown(evaluation), encoding="utf-8")
    (folder / CARD_FILE).write_text(card, encoding="utf-8")


def _predictions(
    classes: tuple[str, ...],
    image_ids: npt.NDArray[Any],
    labels: npt.NDArray[np.int64],
    probabilities: npt.NDArray[np.float32],
) -> pd.DataFrame:
    """One row an image, without anything that leads to a person."""
    names = np.asarray(classes, dtype=object)
    return pd.DataFrame(
        {
            "image_id": pd.array(image_ids, dtype="string"),
            "label": pd.array(names[labels], dtype="string"),
            "predicted": pd.array(names[probabilities.argmax(axis=1)], dtype="string"),
            "confidence": probabilities.max(axis=1).astype(np.float32),
            "probabilities": list(probabilities.astype(np.float32)),  # in the order of the model's classes
        }
    )
