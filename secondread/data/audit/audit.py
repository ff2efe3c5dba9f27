"""The audit of a set: counts, findings and shortcuts, as one document."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from secondread.config.audit import AuditConfig
from secondread.data.audit.counts import Table, class_counts, count_tables, missing_fields
from secondread.data.audit.finding import Finding
from secondread.data.audit.findings import copies_left_out, find_all
from secondread.data.audit.severity import SEVERITIES, reaches, worst
from secondread.data.audit.shortcuts import Shortcut, find_shortcuts
from secondread.data.audit.subject import Subject
from secondread.errors import GateRefused


@dataclass(frozen=True)
class Audit:
    """What was found.

    Attributes:
        name, kind: of the set.
        synthetic: its images are generated.
        images, groups: how many there are.
        copies_left_out: at ingest.
        rejected: images left out at ingest, by reason.
        classes: images and groups by class.
        counts: images by field, value and class.
        missing: share of images by field and class of which it is not known.
        findings: all that was looked for, found or not, the worst first.
        shortcuts: all that could be measured, the worst first.
        notes: what could not be measured, and why.
        severity: the worst of all.
    """

    name: str
    kind: str
    synthetic: bool
    images: int
    groups: int
    copies_left_out: int
    rejected: dict[str, int]
    classes: dict[str, dict[str, int]]
    counts: dict[str, Table]
    missing: dict[str, dict[str, float]]
    findings: list[Finding]
    shortcuts: list[Shortcut]
    notes: list[str]
    severity: str

    def as_bad_as(self, limit: str) -> list[tuple[str, str]]:
        """Severity and sentence of each thing that is as bad as `limit`, or worse."""
        everything = [(item.severity, item.sentence) for item in self.findings]
        everything += [(item.severity, item.sentence) for item in self.shortcuts]
        worst_first = sorted(everything, key=lambda item: -SEVERITIES.index(item[0]))
        return [(severity, sentence.rstrip(".")) for severity, sentence in worst_first if reaches(severity, limit)]

    def to_dict(self) -> dict[str, Any]:
        """As JSON. The pictures that are shown are named by their content hash in the page, and left out here."""
        document = asdict(self)
        for item in (*document["shortcuts"], *document["findings"]):
            del item["shown"]
        for item in document["shortcuts"]:
            item["classes"] = list(item["classes"])
        return document


def audit(subject: Subject, config: AuditConfig) -> Audit:
    """Look a set over.

    Args:
        subject: from `open_subject`.
        config: how many images are looked at, and what is how bad.
    """
    findings = find_all(subject)
    shortcuts, notes = find_shortcuts(subject, config)
    return Audit(
        name=subject.name,
        kind=subject.kind,
        synthetic=subject.synthetic,
        images=len(subject.rows),
        groups=int(subject.rows["group_id"].nunique()),
        copies_left_out=copies_left_out(subject),
        rejected=dict(subject.rejected_counts),
        classes=class_counts(subject),
        counts=count_tables(subject),
        missing=missing_fields(subject),
        findings=sorted(findings, key=lambda item: -SEVERITIES.index(item.severity)),
        shortcuts=shortcuts,
        notes=notes,
        severity=worst([item.severity for item in findings] + [item.severity for item in shortcuts]),
    )


def check_gate(result: Audit, limit: str, report: Path) -> None:
    """Refuse a set in which something is as bad as the limit.

    Args:
        result: of the audit.
        limit: `serious`, `worth a look`, or empty for no gate.
        report: the page to read.
    Raises:
        GateRefused: with how many things there are.
    """
    refused = result.as_bad_as(limit)
    if refused:
        raise GateRefused(
            f"the audit of {result.name} found {len(refused)} thing(s) that are {limit} or worse, first of all: "
            f"{refused[0][1]}. Read {report}."
        )
