"""What an evaluation found: one frozen record, and the JSON that machines read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from secondread.evaluation.calibration import ReliabilityBin
from secondread.evaluation.gate import GateResult
from secondread.evaluation.metrics import ClassMetrics, RocCurve


@dataclass(frozen=True)
class Figure:
    """One figure; NaN where it cannot be known.

    Attributes:
        value: on the images as they are.
        low, high: interval from resampling patients; None where none is computed for this figure.
    """

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Evaluation:
    """One model, by one graph, on one set of images.

    Attributes:
        model, digest, graph: which model, the SHA-256 of what is served, and the file name of the graph that was run.
        trained_on: name of the dataset version that the model learned from.
        dataset, split: which images.
        synthetic: the images, or those the model learned from, are generated.
        classes: names in the order of the model's outputs.
        titles: what a person reads for each class.
        n: images.
        groups: patients, or images where patients are not known.
        level: of the intervals, such as 0.95.
        metrics: figures over all classes.
        per_class: figures of each class against the rest.
        confusion: images by true class (row) and predicted class (column).
        roc: curve of each class; None where it is not defined.
        roc_micro: one curve for all pairs of image and class.
        reliability: confidence against accuracy.
        gate: whether the figures are good enough.
    """

    model: str
    digest: str
    graph: str
    trained_on: str
    dataset: str
    split: str
    synthetic: bool
    classes: tuple[str, ...]
    titles: tuple[str, ...]
    n: int
    groups: int
    level: float
    metrics: Mapping[str, Figure]
    per_class: Mapping[str, ClassMetrics]
    confusion: tuple[tuple[int, ...], ...]
    roc: Mapping[str, RocCurve | None]
    roc_micro: RocCurve
    reliability: tuple[ReliabilityBin, ...]
    gate: GateResult

    @property
    def absent(self) -> tuple[str, ...]:
        """Classes of the model that no image has; means leave them out."""
        return tuple(name for name, figures in self.per_class.items() if figures.support == 0)

    def to_json(self) -> dict[str, Any]:
        """As JSON: `metrics` as `{"accuracy": {"value", "low", "high"}, ...}`; what cannot be known is null."""
        document: dict[str, Any] = {
            "metrics": {name: _figure_json(figure) for name, figure in self.metrics.items()},
            "n": self.n,
            "groups": self.groups,
            "level": self.level,
        }
        document.update(asdict(self), metrics=document["metrics"], absent=list(self.absent))
        cleaned: dict[str, Any] = null_for_nan(document)
        return cleaned


def _figure_json(figure: Figure) -> dict[str, float | None]:
    if figure.low is None:
        return {"value": figure.value}
    return {"value": figure.value, "low": figure.low, "high": figure.high}


def null_for_nan(value: Any) -> Any:
    """The same document with null for NaN and infinity, which JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): null_for_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [null_for_nan(item) for item in value]
    return value
