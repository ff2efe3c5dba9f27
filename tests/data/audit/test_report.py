"""The audit's page and its JSON: whole, alone, and without a way to a person."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from secondread.cli.main import app
from secondread.config.audit import AuditConfig
from secondread.data.audit.audit import Audit, audit
from secondread.data.audit.report import render, write_audit
from secondread.data.audit.subject import Subject
from secondread.errors import GateRefused


@pytest.fixture(scope="module")
def result(plain_subject: Subject) -> Audit:
    rows = plain_subject.rows.assign(
        view=["<b>" if label == "cxr-normal" else "PA" for label in plain_subject.rows["label"]]
    )
    return audit(Subject(**{**vars(plain_subject), "rows": rows}), AuditConfig(serious_from=0.2, worth_a_look_from=0))


def test_the_page_needs_nothing_else_and_says_every_sentence(result: Audit, plain_subject: Subject) -> None:
    page = render(result, plain_subject, AuditConfig())
    assert not re.search(r"<script|https?://|src=\"(?!data:)", page)
    for item in (*result.findings, *result.shortcuts):
        assert item.sentence in page
    assert "&lt;b&gt;" in page
    assert "<td><b>" not in page


def test_no_patient_is_named(result: Audit, plain_subject: Subject) -> None:
    written = render(result, plain_subject, AuditConfig()) + json.dumps(result.to_dict())
    assert not any(patient in written for patient in plain_subject.rows["patient_id"])


def test_the_json_has_every_figure(result: Audit, plain_subject: Subject, tmp_path: Path) -> None:
    write_audit(result, plain_subject, tmp_path / "audit", AuditConfig(), inputs=[])
    document = json.loads((tmp_path / "audit" / "audit.json").read_text())
    assert document["severity"] == "serious"
    assert document["images"] == 200
    view = next(item for item in document["shortcuts"] if item["name"] == "view")
    assert view["value"] == view["low"] == view["high"] == 1
    assert view["chance"] == 0.5
    assert (tmp_path / "audit" / "audit.html").is_file()


def test_the_command_writes_both_and_prints_the_same_document(plain_phantoms: Path, tmp_path: Path) -> None:
    answer = CliRunner().invoke(app, ["data", "audit", str(plain_phantoms), "--output", str(tmp_path / "a"), "--json"])
    assert answer.exit_code == 0, answer.output
    printed = json.loads(answer.stdout)
    assert printed.pop("output") == str(tmp_path / "a")
    assert printed == json.loads((tmp_path / "a" / "audit.json").read_text())


def test_the_command_s_gate_refuses_after_the_page_is_written(shared_data: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    folder = str(tmp_path / "films")
    source = str(shared_data / "covid-chestxray")
    runner.invoke(app, ["data", "ingest", source, "--output", folder, "--public-ids"], catch_exceptions=False)
    answer = runner.invoke(app, ["data", "audit", folder, "--fail-on", "worth a look"])
    assert isinstance(answer.exception, GateRefused)
    assert answer.exception.exit_code == 4
    assert (tmp_path / "films-audit" / "audit.html").is_file()
    assert "patients have images of several classes" in answer.stdout
