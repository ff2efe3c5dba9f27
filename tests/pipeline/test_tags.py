"""What a training run is made of, as MLflow is told."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

import secondread
from secondread.config.environment import Environment
from secondread.pipeline import tags
from secondread.pipeline.tags import run_tags

VERSION = SimpleNamespace(content_hash="d" * 64, synthetic=True)


def test_a_run_names_data_revision_and_pipeline_run() -> None:
    environment = Environment.read({"SECONDREAD_REVISION": "4cc7934", "SECONDREAD_PIPELINE_RUN": "run-7"})
    expected = {"dataset_version": "d" * 64, "synthetic": "true", "git_revision": "4cc7934", "pipeline_run": "run-7"}
    assert run_tags(VERSION, environment) == expected


def test_outside_a_checkout_the_librarys_version_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tmp_path / "site-packages" / "secondread" / "__init__.py"
    monkeypatch.setattr(secondread, "__file__", str(installed))
    found = run_tags(VERSION, Environment.read({}))
    assert found["git_revision"] == f"secondread {secondread.__version__}"
    assert "pipeline_run" not in found
    assert tags.git_revision(Environment.read({})) == ""
