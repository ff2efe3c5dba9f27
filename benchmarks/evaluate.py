"""How long the whole report takes: every figure with its interval, for whom, what breaks it, and the pictures."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import Measurement
from benchmarks.workplace import Workplace
from secondread.cpus import cpu_limit


def report(place: Workplace) -> Sequence[Measurement]:
    """Seconds from a model and a test split to the folder with the page, the card and the figures."""
    from secondread.evaluation.evaluate import evaluate
    from secondread.evaluation.labelled_images import LabelledImages

    trained = place.trained
    data = LabelledImages.from_version(trained.dataset, "test")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        start = time.perf_counter()
        evaluation = evaluate(trained.model, data, output=Path(folder, "evaluation"))
        seconds = time.perf_counter() - start
    note = f"none; {evaluation.n} test images of {trained.name}, {cpu_limit()} threads"
    return [Measurement("evaluate.report_seconds", seconds, "s", note, evaluation.n)]
