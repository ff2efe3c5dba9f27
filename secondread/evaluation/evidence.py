"""What is asked of a model beyond its figures.

For whom it is worse, what breaks it, what it does with what is none of its field, and what it would be worth to a first
reader. All of it is asked of the graph that will be served. A part that was not asked for, or cannot be, is None; a
gate that asks for it says no then.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from secondread.config.behaviour import BehaviourConfig
from secondread.config.evaluate import EvaluateConfig
from secondread.config.robustness import RobustnessConfig
from secondread.evaluation.labelled_images import LabelledImages
from secondread.evaluation.latency import Latency, measure_latency
from secondread.evaluation.metrics.arrays import FloatArray, IntArray
from secondread.evaluation.nulls import null_for_nan
from secondread.evaluation.paired.difference import BesideChampion, differences, mcnemar
from secondread.evaluation.reading_room.risk_dial import Readings, RiskDial, risk_dial
from secondread.evaluation.reading_room.second_reader import SecondReader, second_reader
from secondread.evaluation.reading_room.selective import Selective, selective
from secondread.evaluation.reading_room.workload import Workload, workload
from secondread.evaluation.stress import sample
from secondread.evaluation.stress.behaviour import run_behaviour
from secondread.evaluation.stress.behaviour_results import Behaviour, Films
from secondread.evaluation.stress.known_failures import Case, KnownFailures, run_known_failures
from secondread.evaluation.stress.not_my_field import NotMyField, assemble, not_my_field
from secondread.evaluation.stress.robustness import Robustness, measure_robustness
from secondread.evaluation.subgroups.gaps import measure_subgroups
from secondread.evaluation.subgroups.results import Subgroups
from secondread.logging import get_logger
from secondread.model.folder import REFERENCE_FILE, ModelFolder
from secondread.model.session import GraphSession, open_graph

log = get_logger(__name__)


@dataclass(frozen=True)
class Evidence:
    """All of it.

    Attributes:
        subgroups: for whom the model is worse; None where nothing is known of the patients.
        robustness: what breaks it; None where no image was to be corrupted.
        behaviour: what must not change its answer; None likewise.
        not_my_field: what it does with images of other fields; None where none were to be shown.
        latency: of one image; None where none was to be timed.
        selective: how right it is where it is sure.
        risk_dial: what may be closed at which share of wrong closures, calibrated on the model's val; None where that
            is not known, or is what is judged here.
        second_reader: what that would be worth to a first reader.
        workload: and in a reading room.
        known_failures: which of the films that a model once read wrongly it still does; None where none were named.
        champion: whether it is worse than the champion on the same images; None where none was named.
    """

    subgroups: Subgroups | None
    robustness: Robustness | None
    behaviour: Behaviour | None
    not_my_field: NotMyField | None
    latency: Latency | None
    selective: Selective
    risk_dial: RiskDial | None
    second_reader: SecondReader
    workload: Workload
    known_failures: KnownFailures | None = None
    champion: BesideChampion | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON; null for what was not asked for or cannot be known."""
        parts = {name: getattr(self, name) for name in self.__dataclass_fields__}
        latency = null_for_nan(asdict(self.latency)) if self.latency else None
        return {name: part.to_json() if part else None for name, part in parts.items() if name != "latency"} | {
            "latency": latency
        }


def gather(
    model: ModelFolder,
    session: GraphSession,
    data: LabelledImages,
    labels: IntArray,
    probabilities: FloatArray,
    *,
    config: EvaluateConfig,
    tests: BehaviourConfig | None = None,
    cases: tuple[Case, ...] | None = None,
    champion: ModelFolder | None = None,
) -> Evidence:
    """Ask everything that the configuration asks for.

    Args:
        model: the model folder.
        session: of the graph.
        data: images made with the model's own preprocessing.
        labels: int (images,), positions in the model's classes.
        probabilities: float (images, classes), what the graph says of the images.
        config: how much is run.
        tests: of behaviour; those that come with the library by default.
        cases: known failures; None: not asked.
        champion: another model of the same classes and preprocessing, to be compared with; None: not asked.
    """
    taxonomy = model.config.taxonomy
    dial = _dial(model, data, labels, probabilities, config)
    confident = dial.chosen.threshold if dial else model.config.thresholds.abstain
    said = (probabilities, labels, data.groups)
    theirs = None if champion is None else _answers(champion, data, config)
    tried = sample.stratified(labels, at_most=config.stress_images, seed=config.seed) if config.stress_images else None
    return Evidence(
        subgroups=measure_subgroups(*said, data.factors, classes=taxonomy.names, policy=config.subgroups, config=config)
        if data.factors
        else None,
        robustness=None if tried is None else _robustness(session, data, labels, tried, config),
        behaviour=None if tried is None else _behaviour(model, session, data, labels, tried, config, tests, theirs),
        not_my_field=_not_my_field(model, session, data, config) if config.strange_images else None,
        latency=measure_latency(session, data.images, runs=config.timed_runs) if config.timed_runs else None,
        selective=selective(*said, policy=config.selective, config=config),
        risk_dial=dial,
        second_reader=second_reader(
            *said,
            classes=taxonomy.names,
            confidence_at_least=confident,
            reader=config.first_reader,
            room=config.second_reader,
            config=config,
        ),
        workload=workload(
            *said,
            urgency=[info.urgency for info in taxonomy.classes],
            confidence_at_least=confident,
            room=config.workload,
            config=config,
        ),
        known_failures=None if cases is None else _known_failures(model, session, cases),
        champion=None
        if champion is None or theirs is None
        else BesideChampion(
            champion.digest(),
            differences(theirs, *said, config),
            mcnemar(theirs.argmax(axis=1) == labels, probabilities.argmax(axis=1) == labels),
        ),
    )


def _answers(champion: ModelFolder, data: LabelledImages, config: EvaluateConfig) -> npt.NDArray[np.float32]:
    return open_graph(champion).run(data.images, batch_size=config.batch_size).probabilities


def _robustness(
    session: GraphSession, data: LabelledImages, labels: IntArray, tried: npt.NDArray[np.int64], config: EvaluateConfig
) -> Robustness:
    return measure_robustness(
        lambda images: session.run(images).probabilities,
        np.asarray(data.images[tried]),
        labels[tried],
        data.groups[tried],
        config=RobustnessConfig(
            images_at_most=len(tried), batch_size=config.batch_size, level=config.level, seed=config.seed
        ),
    )


def _behaviour(
    model: ModelFolder,
    session: GraphSession,
    data: LabelledImages,
    labels: IntArray,
    tried: npt.NDArray[np.int64],
    config: EvaluateConfig,
    tests: BehaviourConfig | None,
    champion: npt.NDArray[np.float32] | None,
) -> Behaviour:
    films = Films(
        images=np.asarray(data.images[tried]),
        labels=labels[tried],
        image_ids=data.image_ids[tried],
        patients=data.groups[tried],
        taxonomy=model.config.taxonomy,
        preprocessing=model.config.preprocessing,
        synthetic=model.config.synthetic,
        reference=None if champion is None else champion[tried],
    )
    return run_behaviour(
        lambda images: session.run(images, batch_size=config.batch_size).probabilities, films, config=tests
    )


def _not_my_field(
    model: ModelFolder, session: GraphSession, data: LabelledImages, config: EvaluateConfig
) -> NotMyField:
    strange = assemble(
        data.images,
        model.config.preprocessing,
        model.config.taxonomy,
        most=config.strange_images,
        seed=config.seed,
        places=config.other_fields,
    )
    return not_my_field(
        lambda images: session.run(images, batch_size=config.batch_size).ood_score,
        data.images,
        strange,
        threshold=model.config.thresholds.out_of_distribution,
        level=config.level,
    )


def _known_failures(model: ModelFolder, session: GraphSession, cases: tuple[Case, ...]) -> KnownFailures:
    return run_known_failures(
        lambda images: session.run(images).probabilities,
        cases,
        taxonomy=model.config.taxonomy,
        preprocessing=model.config.preprocessing,
    )


def _dial(
    model: ModelFolder, data: LabelledImages, labels: IntArray, probabilities: FloatArray, config: EvaluateConfig
) -> RiskDial | None:
    """The dial, calibrated on what the model said of val when it was made."""
    file = model.root / REFERENCE_FILE
    if not file.is_file():
        return None
    val = pd.read_parquet(file)
    if "patient" not in val:
        log.warning("%s does not say which images are of one patient: no risk dial. Train the model again.", file)
        return None
    if shared := len(np.intersect1d(val["image_id"].astype(str), data.image_ids.astype(str))):
        log.warning(
            "%d of these images are val of the model's own dataset version: no risk dial, which would be judged on "
            "what it was set with; and the model may have learned from others of them. It has not seen its test split",
            shared,
        )
        return None
    names = model.config.taxonomy.names
    calibration = Readings.of(
        np.stack(val["probabilities"].tolist()),
        np.array([names.index(label) for label in val["label"]], np.int64),
        np.array([f"{REFERENCE_FILE} {patient}" for patient in val["patient"]], dtype=object),
    )
    return risk_dial(
        calibration, Readings.of(probabilities, labels, data.groups), policy=config.risk_dial, config=config
    )
