"""Judge a model: run the graph that will be served over labelled images and write down how good it is, and for whom.

Used twice in the pipeline: on val, to stop a hopeless run early, and on test for the chosen graph.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from secondread.atomic import atomic_folder
from secondread.config.evaluate import EvaluateConfig
from secondread.config.external_classes import ExternalClassesConfig
from secondread.config.gate import GateConfig
from secondread.evaluation.evidence import gather
from secondread.evaluation.external.apart import ClassApart, measure_apart
from secondread.evaluation.external.classes import Matched, match_classes
from secondread.evaluation.external.drop import measure_drop, read_internal
from secondread.evaluation.folder import fill_folder
from secondread.evaluation.labelled_images import LabelledImages, labels_of_model
from secondread.evaluation.measure import drawn, measure
from secondread.evaluation.paired.difference import check_comparable
from secondread.evaluation.report.card import model_card
from secondread.evaluation.report.page import Gallery
from secondread.evaluation.results import EVALUATION_FILE, Evaluation
from secondread.evaluation.stress.behaviour import read_behaviour
from secondread.evaluation.stress.known_failures import read_cases
from secondread.logging import get_logger
from secondread.model.folder import ModelFolder
from secondread.model.session import GraphSession, open_graph
from secondread.model.training_record import TrainingRecord

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
    champion: ModelFolder | None = None,
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
        champion: the model that is served now, to be compared with on the same images; neither may have seen them.
    Raises:
        InputError: the images were made another way, or none has a class of the model's; `classes`, `against`,
            `champion` or what the configuration names is not what it should be.
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
    tests = read_behaviour(config.behaviour or None)
    if champion is not None:
        check_comparable(champion, model)
        labels_of_model(champion, data)
    inputs = [model.root, *([against] if against else []), *([champion.root] if champion else [])]
    kept = nullcontext() if output is None else atomic_folder(output, marker=EVALUATION_FILE, inputs=inputs)
    with kept as folder:
        log.info("evaluating %s on %d images (%s of %s)", graph, len(labels), data.split, data.name)
        session = open_graph(model, graph)
        probabilities = session.run(data.images, batch_size=config.batch_size).probabilities
        asked = (model, session, data, labels, probabilities)
        found = gather(*asked, config=config, tests=tests, cases=cases, champion=champion) if evidence else None
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
            card = model_card(model.config, training, evaluation=evaluation)
            fill_folder(
                folder,
                evaluation,
                gallery,
                card,
                data.image_ids,
                labels=labels,
                probabilities=probabilities,
            )
    log.info("%s", evaluation.gate)
    return evaluation


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
        **drawn(config),
    )
