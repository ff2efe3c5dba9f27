"""All figures of some probabilities against labels, with their intervals, and the gate's verdict."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from secondread.config.evaluate import EvaluateConfig
from secondread.config.gate import GateConfig
from secondread.evaluation.evidence import Evidence
from secondread.evaluation.gate.decide import Findings, decide
from secondread.evaluation.intervals import bootstrap
from secondread.evaluation.intervals.bounds import Interval
from secondread.evaluation.intervals.estimate import Estimate
from secondread.evaluation.labelled_images import LabelledImages
from secondread.evaluation.metrics import by_name as metrics
from secondread.evaluation.metrics import calibration, curves
from secondread.evaluation.metrics.arrays import FloatArray, IntArray, check, once
from secondread.evaluation.reading_room import thresholds
from secondread.evaluation.results import Calibration, ClassFigures, ClassThreshold, Evaluation
from secondread.model.folder import ModelConfigFile, ModelFolder


def measure(
    model: ModelFolder,
    data: LabelledImages,
    probabilities: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    *,
    policy: GateConfig,
    config: EvaluateConfig,
    graph: str,
    evidence: Evidence | None,
) -> Evaluation:
    """All figures of some probabilities, float32 (images, classes), against labels in the model's class order."""
    check(probabilities, labels)
    classes = model.config.taxonomy.names
    fixed: dict[str, Any] = {
        "fixed_specificity": config.fixed_specificity,
        "fixed_sensitivity": config.fixed_sensitivity,
    }
    plain = metrics.measure(probabilities, labels, once(len(labels)), **fixed)
    bounds = bootstrap.intervals(probabilities, labels, data.groups, **drawn(config), **fixed)
    figures = {name: _figure(values[0], bounds.overall[name]) for name, values in plain.overall.items()}
    findings = Findings(
        images=len(labels),
        metrics={name: figure.value for name, figure in figures.items()},
        sensitivity=dict(zip(classes, map(float, plain.by_class["recall"][0]), strict=True)),
        ece_if_calibrated=bounds.ece_if_calibrated,
        evidence=evidence,
    )
    return Evaluation(
        model=model.config.name,
        digest=model.digest(),
        graph=graph,
        trained_on=model.config.dataset_version,
        dataset=data.name,
        split=data.split,
        own_version=data.version == model.config.dataset_version,
        synthetic=data.synthetic or model.config.synthetic,
        classes=classes,
        titles=tuple(info.title or info.name for info in model.config.taxonomy.classes),
        n=len(labels),
        groups=len(np.unique(data.groups)),
        level=config.level,
        **fixed,
        metrics=figures,
        per_class={name: _class_figures(plain, bounds, index) for index, name in enumerate(classes)},
        confusion=tuple(tuple(map(int, row)) for row in metrics.confusion(probabilities, labels)),
        roc=dict(zip(classes, curves.roc_by_class(probabilities, labels), strict=True)),
        roc_micro=curves.roc_micro(probabilities, labels),
        pr=dict(zip(classes, curves.pr_by_class(probabilities, labels), strict=True)),
        reliability=calibration.reliability(probabilities, labels, likely=bounds.gaps_if_calibrated),
        calibration=_calibration(model.config, probabilities, labels, data.groups, bounds, config),
        chosen_sensitivity=model.config.thresholds.sensitivity,
        thresholds=_thresholds(model.config, probabilities, labels, data.groups, config),
        evidence=evidence,
        gate=decide(policy, findings),
    )


def drawn(config: EvaluateConfig) -> dict[str, Any]:
    """How every interval is drawn: over the same patients, so that figures of one draw belong together."""
    return {"resamples": config.resamples, "level": config.level, "seed": config.seed}


def _figure(value: float, bounds: Interval) -> Estimate:
    return Estimate(float(value), bounds.low, bounds.high)


def _class_figures(plain: metrics.Measured, bounds: bootstrap.Intervals, index: int) -> ClassFigures:
    """What is known of one class; of one that no image has, nothing but how often it was called."""
    values = {name: draws[0, index] for name, draws in plain.by_class.items()}
    counts = {name: int(values.pop(name)) for name in metrics.COUNTS}
    known = {name: _figure(value, bounds.by_class[name][index]) for name, value in values.items()}
    figures = known if counts["support"] else dict.fromkeys(known, Estimate(math.nan))
    return ClassFigures(**counts, figures=figures)


def _calibration(
    model: ModelConfigFile,
    probabilities: FloatArray,
    labels: IntArray,
    groups: npt.NDArray[Any],
    bounds: bootstrap.Intervals,
    config: EvaluateConfig,
) -> Calibration:
    """The same images with the scaling undone, and what a perfectly calibrated model would show."""
    scaling = {"temperature": model.temperature, "margin_power": model.margin_power}
    before = calibration.without_scaling(probabilities, **scaling)
    likely = bootstrap.calibration_intervals(before, labels, groups, **drawn(config))
    values, _ = metrics.measure_calibration(before, labels, once(len(labels)))
    return Calibration(
        **scaling,
        before={name: _figure(draws[0], likely[name]) for name, draws in values.items()},
        reliability_before=calibration.reliability(before, labels),
        ece_if_calibrated=bounds.ece_if_calibrated,
    )


def _thresholds(
    model: ModelConfigFile,
    probabilities: FloatArray,
    labels: IntArray,
    groups: npt.NDArray[Any],
    config: EvaluateConfig,
) -> dict[str, ClassThreshold]:
    """What the thresholds that the model brings from val come to on these images."""
    found = {}
    for index, name in enumerate(model.taxonomy.names):
        threshold = model.thresholds.by_class.get(name)
        if threshold is not None:
            at = thresholds.reached(labels == index, probabilities[:, index] >= threshold, groups, **drawn(config))
            found[name] = ClassThreshold(threshold, *(_figure(*at[side]) for side in ("sensitivity", "specificity")))
    return found
