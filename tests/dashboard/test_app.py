"""What a page says where there is nothing to show: run without a server, by Streamlit's own means."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from secondread.dashboard.serve import SCRIPT


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch):
    """Draw the first page over a root."""

    def draw(root: object) -> AppTest:
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(root)])
        return AppTest.from_file(str(SCRIPT), default_timeout=60).run()

    return draw


def test_an_empty_folder_says_how_to_fill_it(run, tmp_path: Path) -> None:
    page = run(tmp_path)
    assert "No dataset version in" in page.info[0].value
    assert "secondread data preprocess" in page.info[0].value
    assert not page.exception


def test_a_store_that_does_not_answer_is_said(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECONDREAD_S3_ENDPOINT", "http://127.0.0.1:9")  # the port `discard`, which nobody listens on
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "my-secret")
    page = run("s3://films/versions")
    (error,) = page.error
    assert "does not answer" in error.value
    assert "my-secret" not in error.value
    assert not page.exception


def test_marks_in_the_names_of_classes_are_shown_as_they_are(run, shelf_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "versions"
    shutil.copytree(shelf_root / "first", root / "first_*of*_$two$")
    page = run(root)
    assert page.selectbox(key="version").value.startswith("first_*of*_$two$")
    assert not page.exception
    (root / "first_*of*_$two$" / "manifest.parquet").write_bytes(b"none")
    assert r"first\_\*of\*\_\$two\$" in run(root).error[0].value


def test_a_published_version_looks_like_the_one_in_a_folder(run, shelf_root: Path, published_root: Path) -> None:
    one, other = run(shelf_root), run(published_root)
    assert not one.exception
    assert not other.exception
    other.selectbox(key="version").select(one.selectbox(key="version").value.split("(")[1].rstrip(")")).run()
    assert one.table[0].value.equals(other.table[0].value)
    assert [metric.value for metric in one.metric] == [metric.value for metric in other.metric]
