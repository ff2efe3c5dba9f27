"""Judge a model: run the graph that will be served over labelled images and write down how good it is, and for whom.

    evaluation.json       the figures, for machines
    predictions.parquet   one row an image: image_id, label, predicted, confidence, probabilities; no patient
    report.html           the figures and pictures, for people, in one file
    summary.md            the headline
    MODEL_CARD.md         the model's card, with what this evaluation found

Used twice in the pipeline: on val, to stop a hopeless run early, and on test for the chosen graph.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from secondread.atomic import atomic_folder, write_json
from secondread.config.evaluate import EvaluateConfig
from secondread.config.external_classes import ExternalClassesConfig
from secondread.config.gate import GateConfig
from secondread.evaluation import bootstrap, calibration, curves, metrics, thresholds
from secondread.evaluation.apart import ClassApart, measure_apart
from secondread.evaluation.arrays import FloatArray, IntArray, check, once
from secondread.evaluation.card import model_card
from secondread.evaluation.drop import measure_drop, read_internal
from secondread.evaluation.estimate import Estimate
from secondread.evaluation.evidence import Evidence, gather
from secondread.evaluation.external_classes import Matched, match_classes
from secondread.evaluation.gate import Findings, decide
from secondread.evaluation.interval import Interval
from secondread.evaluation.known_failures import read_cases
from secondread.evaluation.labelled_images import LabelledImages, labels_of_model
from secondread.evaluation.report import Gallery, render_html, summary_markdown
from secondread.evaluation.results import (
    EVALUATION_FILE,
    PREDICTIONS_FILE,
    Calibration,
    ClassFigures,
    ClassThreshold,
    Evaluation,
)
from secondread.logging import get_logger
from secondread.model.folder import CARD_FILE, ModelConfigFile, ModelFolder
from secondread.model.session import GraphSession, open_graph
from secondread.model.training_record import TrainingRecord

REPORT_FILE = "report.html"
SUMMARY_FILE = "summary.md"

log = get_logger(__name__)


def evaluate(
    model: ModelFolder,
    data: LabelledImages,
    *,
    output: Path | None = None,
    policy: GateConfig | None = None,
    config: EvaluateConfig | None = None,
    graph: str | None = None,
    evidence: bool = True,
    classes: ExternalClassesConfig | None = None,
    against: Path | None = None,
) -> Evaluation:
    """Run a model's graph over labelled images, measure it, gather evidence, and ask the gate.

    A gate that refuses is an answer, not an error: see `Evaluation.gate`.

    Args:
        model: the model folder.
        data: images made with the model's own preprocessing.
        output: folder to write, replaced as a whole; nothing is written without it.
        policy: the gate's limits.
        config: intervals, batch size and pictures.
        graph: file name of the graph, where it is not the one that will be served.
        evidence: also ask for whom the model is worse, what breaks it, what it does with other images and what it is
            worth; without it, what the policy asks of these is not known.
        classes: which class of the data is which of the model's, where their names differ. Images of a class that the
            model lacks are in no figure, and reported apart.
        against: folder of an evaluation of this model on other images, from which the drop is told.
    Raises:
        InputError: the images were made another way, or none has a class of the model's; `classes`, `against` or the
            known failures of the configuration are not what they should be.
        IntegrityError: the model's record of its training is damaged.
    """
    policy, config = policy or GateConfig(), config or EvaluateConfig()
    known = model.config.taxonomy.names
    matched = match_classes(data, known, classes, model=model.config.name)
    data = matched.judged
    labels, training = labels_of_model(model, data), TrainingRecord.read(model.root)
    if data.version not in ("", model.config.dataset_version):
        log.warning(
            "%s is not the dataset version that the model was trained on (%s): it may have seen these images",
            data.name,
            model.config.dataset_version[:12],
        )
    graph = graph or model.config.graph
    internal = (
        read_internal(against, digest=model.digest(), graph=graph, classes=known, level=config.level)
        if against
        else None
    )
    cases = read_cases(config.known_failures) if evidence and config.known_failures else None
    inputs = [model.root, *([against] if against else [])]
    kept = nullcontext() if output is None else atomic_folder(output, marker=EVALUATION_FILE, inputs=inputs)
    with kept as folder:
        log.info("evaluating %s on %d images (%s of %s)", graph, len(labels), data.split, data.name)
        session = open_graph(model, graph)
        probabilities = session.run(data.images, batch_size=config.batch_size).probabilities
        asked = (model, session, data, labels, probabilities)
        found = gather(*asked, config=config, cases=cases) if evidence else None
        evaluation = measure(
            model, data, probabilities, labels, policy=policy, config=config, graph=graph, evidence=found
        )
        evaluation = replace(
            evaluation,
            class_names={name: to for name, to in matched.names.items() if name != to},
            apart=_apart(model, session, matched, config),
        )
        if internal is not None:
            drop = measure_drop(evaluation, internal, probabilities, labels, data, config=config)
            evaluation = replace(evaluation, drop=drop)
        if folder is not None:
            explain = model.explain_path()
            gallery = Gallery.choose(
                data.images,
                labels,
                probabilities,
                evaluation.classes,
                image_ids=data.image_ids,
                count=config.shown_images,
                explain=open_graph(model, explain.name).explain if explain else None,
            )
            _fill(folder, evaluation, gallery, data.image_ids, labels=labels, probabilities=probabilities)
            card = model_card(model.config, training, evaluation=evaluation)
            (folder / CARD_FILE).write_text(card, encoding="utf-8")
    log.info("%s", evaluation.gate)
    return evaluation


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
    bounds = bootstrap.intervals(probabilities, labels, data.groups, **_drawn(config), **fixed)
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
        calibration=_calibration(model.config.temperature, probabilities, labels, data.groups, bounds, config),
        chosen_sensitivity=model.config.thresholds.sensitivity,
        thresholds=_thresholds(model.config, probabilities, labels, data.groups, config),
        evidence=evidence,
        gate=decide(policy, findings),
    )


def _apart(
    model: ModelFolder, session: GraphSession, matched: Matched, config: EvaluateConfig
) -> tuple[ClassApart, ...]:
    """What the model makes of images whose class it lacks."""
    if not matched.reasons:
        return ()
    return measure_apart(
        matched.apart,
        matched.reasons,
        session.run(matched.apart.images, batch_size=config.batch_size),
        classes=model.config.taxonomy.names,
        threshold=model.config.thresholds.out_of_distribution,
        **_drawn(config),
    )


def _drawn(config: EvaluateConfig) -> dict[str, Any]:
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
    temperature: float,
    probabilities: FloatArray,
    labels: IntArray,
    groups: npt.NDArray[Any],
    bounds: bootstrap.Intervals,
    config: EvaluateConfig,
) -> Calibration:
    """The same images with the temperature undone, and what a perfectly calibrated model would show."""
    before = calibration.without_temperature(probabilities, temperature)
    likely = bootstrap.calibration_intervals(before, labels, groups, **_drawn(config))
    values, _ = metrics.measure_calibration(before, labels, once(len(labels)))
    return Calibration(
        temperature=temperature,
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
            at = thresholds.reached(labels == index, probabilities[:, index] >= threshold, groups, **_drawn(config))
            found[name] = ClassThreshold(threshold, *(_figure(*at[side]) for side in ("sensitivity", "specificity")))
    return found


def _fill(
    folder: Path,
    evaluation: Evaluation,
    gallery: Gallery,
    image_ids: npt.NDArray[Any],
    *,
    labels: npt.NDArray[np.int64],
    probabilities: npt.NDArray[np.float32],
) -> None:
    """Write the figures, the predictions and the report."""
    write_json(folder / EVALUATION_FILE, evaluation.to_json())
    _predictions(evaluation.classes, image_ids, labels, probabilities).to_parquet(
        folder / PREDICTIONS_FILE, index=False, compression="zstd"
    )
    (folder / REPORT_FILE).write_text(render_html(evaluation, gallery), encoding="utf-8")
    (folder / SUMMARY_FILE).write_text(summary_markdown(evaluation), encoding="utf-8")


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
