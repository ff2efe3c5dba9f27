"""What is written down of a training for the model card: images, recipe, and what in them gives the label away."""

from __future__ import annotations

from secondread.config.audit import AuditConfig
from secondread.config.train import TrainConfig
from secondread.data.audit.audit import audit
from secondread.data.audit.severity import NONE, SERIOUS
from secondread.data.audit.subject import open_subject
from secondread.data.versions.dataset import DatasetVersion
from secondread.logging import get_logger
from secondread.model.training_record import (
    GivenAway,
    SetAudit,
    SetFinding,
    SourceCount,
    StartedFrom,
    TrainingRecord,
)
from secondread.training.fit import Fitted, preset_name
from secondread.training.start import Start

log = get_logger(__name__)


def training_record(
    dataset: DatasetVersion, config: TrainConfig, fitted: Fitted, *, start: Start | None
) -> TrainingRecord:
    """The record of a training that has ended.

    Args:
        dataset: that it was trained on; it is audited now, which takes seconds.
        config: recipe.
        fitted: what the training gave.
        start: what it began with; None for random weights.
    """
    counts = dataset.manifest.groupby(["source", "license"], sort=True).size().rename("images").reset_index()
    return TrainingRecord(
        dataset_version=dataset.content_hash,
        counts=dataset.counts,
        sources=tuple(SourceCount(*row) for row in counts.to_numpy().tolist()),
        preset=preset_name(dataset, config),
        epochs=len(fitted.epochs),
        best_epoch=fitted.best_epoch,
        seconds=fitted.seconds,
        processes=config.world_size,
        seed=config.seed,
        start=StartedFrom(start.dataset_version, start.labelled, start.may_have_seen(dataset)) if start else None,
        audit=audit_of(dataset, images=config.audit_images, seed=config.seed) if config.audit_images else None,
    )


def audit_of(dataset: DatasetVersion, *, images: int, seed: int) -> SetAudit:
    """What gives the label away in a dataset version, and what else is wrong with it; the serious is logged.

    Args:
        dataset: the version.
        images: that shortcuts are measured on, at most; at least 100.
        seed: of the sample.
    """
    found = audit(open_subject(dataset.root), AuditConfig(sample_images=images, shown_images=0, seed=seed))
    for item in found.shortcuts:
        if item.severity == SERIOUS:
            log.warning("%s; the model may have learned that instead of the finding", item.sentence)
    return SetAudit(
        shortcuts=tuple(
            GivenAway(
                name=item.name,
                modality=item.modality,
                severity=item.severity,
                value=item.value,
                low=item.low,
                high=item.high,
                chance=item.chance,
                images=item.images,
                sentence=item.sentence,
            )
            for item in found.shortcuts
        ),
        findings=tuple(
            SetFinding(item.name, item.title, item.severity, item.sentence)
            for item in found.findings
            if item.severity != NONE
        ),
        notes=tuple(found.notes),
    )
