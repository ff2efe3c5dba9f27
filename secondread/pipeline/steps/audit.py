"""Step: look a dataset version over, and ask the gate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from secondread.config.audit import AuditConfig
from secondread.config.mapping import from_mapping
from secondread.data.audit.audit import Audit
from secondread.data.audit.audit import audit as run_audit
from secondread.data.audit.report import write_audit
from secondread.data.audit.subject import open_subject
from secondread.pipeline.steps.begin import Settings, begin
from secondread.pipeline.success import recorded, verify_success, write_success


def audit(ingested: str, dataset: str, output: str, *, settings: Settings) -> dict[str, Any]:
    """Count what is in a version, and find leaks, contradictions and shortcuts. A refusal is an answer, not a failure.

    Args:
        ingested: what step `ingest` wrote; it knows what was left out, and why.
        dataset: what step `preprocess` wrote of it.
        output: folder to write: the page, and the same as JSON.
        settings: fields of `AuditConfig`; `fail_on` is the gate.
    Returns:
        `passed`, `reasons` of a refusal, `severity` of the worst, and `figures` by name.
    """
    begin()
    images, data, folder = Path(ingested), Path(dataset), Path(output)
    with recorded("audit", folder):
        verify_success(images, step="ingest")
        verify_success(data, step="preprocess")
        config = from_mapping(AuditConfig, settings)
        subject = open_subject(data, ingested=images)
        result = run_audit(subject, config)
        write_audit(result, subject, folder, config, inputs=[images, data])
        refused = result.as_bad_as(config.fail_on)
        facts = {
            "passed": not refused,
            "reasons": [f"{severity}: {sentence}" for severity, sentence in refused],
            "severity": result.severity,
            "figures": _figures(result),
        }
        write_success(folder, step="audit", inputs={"ingested": images, "dataset": data}, facts=facts)
    return facts


def _figures(result: Audit) -> dict[str, float]:
    """What a person would follow from version to version."""
    found = {f"finding.{item.name}": float(item.count) for item in result.findings}
    for item in result.shortcuts:
        name = f"shortcut.{item.modality}.{item.name}"
        found |= {name: item.value, f"{name}.low": item.low, f"{name}.chance": item.chance}
    return {"images": float(result.images), "groups": float(result.groups), **found}
