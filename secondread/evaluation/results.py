"""What an evaluation found: one frozen record, and the JSON that machines read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from secondread.evaluation.evidence import Evidence
from secondread.evaluation.external.apart import ClassApart
from secondread.evaluation.external.drop_results import Drop
from secondread.evaluation.intervals.bounds import Interval
from secondread.evaluation.intervals.estimate import Estimate
from secondread.evaluation.metrics.calibration import ReliabilityBin
from secondread.evaluation.metrics.curves import PrCurve, RocCurve
from secondread.evaluation.nulls import null_for_nan
from secondread.evaluation.verdict import GateResult

EVALUATION_FILE = "evaluation.json"
PREDICTIONS_FILE = "predictions.parquet"


@dataclass(frozen=True)
class ClassFigures:
    """One class against the rest.

    Attributes:
        support: images that have this class.
        predicted: images that were called this class.
        figures: the others of `metrics.by_name.BY_CLASS`; NaN all of them where no image has the class.
    """

    support: int
    predicted: int
    figures: Mapping[str, Estimate]

    def __getitem__(self, name: str) -> Estimate:
        return self.figures[name]


@dataclass(frozen=True)
class ClassThreshold:
    """A probability from which an image is taken to have a class, chosen on val, and what it reaches on these images.

    Attributes:
        threshold: probability of the class, in [0, 1].
        sensitivity: share of the images with the class that are at or above it.
        specificity: share of the others that are below it.
    """

    threshold: float
    sensitivity: Estimate
    specificity: Estimate


@dataclass(frozen=True)
class Calibration:
    """What scaling the logits did, and what chance alone would do.

    Attributes:
        temperature: by which the graph divides the margins of the logits.
        margin_power: that it raises them to.
        before: `nll`, `brier` and `ece` with both undone.
        reliability_before: confidence against accuracy with both undone.
        ece_if_calibrated: where the calibration error of a perfectly calibrated model would lie on as many images.
    """

    temperature: float
    margin_power: float
    before: Mapping[str, Estimate]
    reliability_before: tuple[ReliabilityBin, ...]
    ece_if_calibrated: Interval


@dataclass(frozen=True)
class Evaluation:
    """One model, by one graph, on one set of images.

    Attributes:
        model, digest, graph: which model, the SHA-256 of what is served, and the file name of the graph that was run.
        trained_on: content hash of the dataset version that the model learned from.
        dataset, split: which images: the version's name, or that of a set from elsewhere.
        own_version: these are of the dataset version that the model learned from.
        synthetic: the images, or those the model learned from, are generated.
        classes: names in the order of the model's outputs.
        titles: what a person reads for each class.
        n: images.
        groups: patients, or images where patients are not known.
        level: of the intervals, such as 0.95.
        fixed_specificity: at which each class's sensitivity is told, in [0, 1].
        fixed_sensitivity: at which each class's specificity is told, in [0, 1].
        metrics: figures over all classes, by name of `metrics.by_name.OVERALL`.
        per_class: figures of each class against the rest.
        confusion: images by true class (row) and predicted class (column).
        roc: curve of each class; None where it is not defined.
        roc_micro: one curve for all pairs of image and class.
        pr: precision-recall curve of each class; None where it is not defined.
        reliability: confidence against accuracy.
        calibration: what scaling the logits did, and what chance alone would do.
        chosen_sensitivity: that the model's thresholds were chosen for on val; None where it has none.
        thresholds: of each class that val had enough images of.
        evidence: for whom the model is worse, what breaks it, what it is worth; None where it was not gathered.
        gate: whether all that is good enough.
        class_names: the set's own class to that of the model, where their names differ.
        apart: what the model makes of images whose class it lacks; they are in no other figure.
        drop: figures less those of another evaluation of this model; None where none was named.
    """

    model: str
    digest: str
    graph: str
    trained_on: str
    dataset: str
    split: str
    own_version: bool
    synthetic: bool
    classes: tuple[str, ...]
    titles: tuple[str, ...]
    n: int
    groups: int
    level: float
    fixed_specificity: float
    fixed_sensitivity: float
    metrics: Mapping[str, Estimate]
    per_class: Mapping[str, ClassFigures]
    confusion: tuple[tuple[int, ...], ...]
    roc: Mapping[str, RocCurve | None]
    roc_micro: RocCurve
    pr: Mapping[str, PrCurve | None]
    reliability: tuple[ReliabilityBin, ...]
    calibration: Calibration
    chosen_sensitivity: float | None
    thresholds: Mapping[str, ClassThreshold]
    evidence: Evidence | None
    gate: GateResult
    class_names: Mapping[str, str] = field(default_factory=dict)
    apart: tuple[ClassApart, ...] = ()
    drop: Drop | None = None

    @property
    def present(self) -> tuple[str, ...]:
        """Classes of the model that some image has; means over classes are taken over these."""
        return tuple(name for name, figures in self.per_class.items() if figures.support)

    @property
    def absent(self) -> tuple[str, ...]:
        """Classes of the model that no image has; means leave them out."""
        return tuple(name for name, figures in self.per_class.items() if figures.support == 0)

    @property
    def calibration_within_chance(self) -> bool:
        """A perfectly calibrated model of as many images would show no less than this calibration error, by chance."""
        return self.metrics["ece"].value <= self.calibration.ece_if_calibrated.high

    def to_json(self) -> dict[str, Any]:
        """As JSON: every figure as `{"value", "low", "high"}`; what cannot be known is null."""
        document = asdict(replace(self, evidence=None))
        document["evidence"] = self.evidence.to_json() if self.evidence else None
        document["gate"] = {**document["gate"], "reasons": list(self.gate.reasons)}
        document["per_class"] = {
            name: {"support": item["support"], "predicted": item["predicted"], **item["figures"]}
            for name, item in document["per_class"].items()
        }
        cleaned: dict[str, Any] = null_for_nan({**document, "present": list(self.present), "absent": list(self.absent)})
        return cleaned
