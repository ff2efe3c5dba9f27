"""Where the audit of a version is found, and how it is run when there is none."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from secondread.config.audit import AuditConfig
from secondread.config.environment import Environment
from secondread.dashboard.audits import HTML_FILE, JSON_FILE, bytes_to_fetch, run_audit, stored_audit
from secondread.dashboard.shelf import Held
from secondread.data.audit import report
from secondread.data.audit.audit import audit
from secondread.data.audit.report import write_audit
from secondread.data.audit.subject import open_subject
from secondread.data.store.open import open_store
from secondread.data.store.publish import publish
from secondread.data.versions.dataset import DatasetVersion
from secondread.errors import IntegrityError


@pytest.fixture
def root(shelf_root: Path, tmp_path: Path) -> Path:
    shutil.copytree(shelf_root / "first", tmp_path / "root" / "first")
    return tmp_path / "root"


@pytest.fixture(scope="module")
def written(shelf_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An audit of the first version."""
    folder = tmp_path_factory.mktemp("audit") / "written"
    config, subject = AuditConfig(resamples=100), open_subject(shelf_root / "first")
    write_audit(audit(subject, config), subject, folder, config, inputs=[])
    return folder


def test_the_files_are_those_that_an_audit_writes() -> None:
    assert (JSON_FILE, HTML_FILE) == (report.JSON_FILE, report.HTML_FILE)


@pytest.mark.parametrize("where", ["first-audit", "first/audit"])
def test_an_audit_beside_the_version_or_in_it_is_shown(
    root: Path, tmp_path: Path, written: Path, held: Callable[..., Held], where: str
) -> None:
    assert stored_audit(held(root, "first"), tmp_path / "cache") is None
    shutil.copytree(written, root / where)
    found = stored_audit(held(root, "first"), tmp_path / "cache")
    assert found is not None
    assert found.document["images"] == len(DatasetVersion.open(root / "first").manifest)
    assert found.page == root / where / "audit.html"


def test_an_audit_that_is_run_is_there_the_next_time(
    shelf_root: Path, published_root: Path, tmp_path: Path, held: Callable[..., Held]
) -> None:
    found = held(published_root, DatasetVersion.open(shelf_root / "first").name)
    assert bytes_to_fetch(found) > 300_000, "the audit looks at the pixels"
    run_audit(found, tmp_path / "cache")
    assert bytes_to_fetch(found) == 0
    kept = stored_audit(found, tmp_path / "cache")
    assert kept is not None
    assert kept.document["images"] == len(DatasetVersion.open(shelf_root / "first").manifest)
    assert kept.page is not None
    assert stored_audit(held(shelf_root, "retrain"), tmp_path / "cache") is None


def test_an_audit_that_was_published_with_its_version_needs_no_pixels(
    root: Path, tmp_path: Path, written: Path, held: Callable[..., Held]
) -> None:
    shutil.copytree(written, root / "first" / "audit")
    version = DatasetVersion.open(root / "first")
    publish(version, open_store(str(tmp_path / "store"), Environment.read({})))
    found = held(tmp_path / "store", version.name)
    shown = stored_audit(found, tmp_path / "cache")
    assert shown is not None
    assert shown.page is not None
    assert shown.page.read_bytes() == (written / HTML_FILE).read_bytes()
    assert not list((tmp_path / "cache").rglob("*.npy"))


def test_an_audit_of_another_version_is_not_shown(
    shelf_root: Path, root: Path, tmp_path: Path, written: Path, held: Callable[..., Held]
) -> None:
    shutil.copytree(shelf_root / "retrain", root / "retrain")
    shutil.copytree(written, root / "retrain-audit")
    assert stored_audit(held(root, "retrain"), tmp_path / "cache") is None


def test_an_audit_of_another_form_is_refused(root: Path, tmp_path: Path, held: Callable[..., Held]) -> None:
    (root / "first-audit").mkdir()
    (root / "first-audit" / "audit.json").write_text('{"images": 3}')
    with pytest.raises(IntegrityError, match="is no audit"):
        stored_audit(held(root, "first"), tmp_path / "cache")
