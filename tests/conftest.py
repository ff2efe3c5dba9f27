"""What holds for every test: where real images are, and that nothing is written or left anywhere else."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from secondread.logging import ROOT as ROOT_LOGGER

pytest_plugins = [f"tests.fixtures.{name}" for name in ("films", "mlflow", "model", "postgres", "swift")]

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the public image sets: SECONDREAD_TEST_DATA, else shared/data beside the checkout.

    The sets are not in the repository: each image keeps its own licence.
    """
    named = os.environ.get("SECONDREAD_TEST_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if named is None and not folder.is_dir():
        pytest.skip(f"no public image sets in {folder}: set SECONDREAD_TEST_DATA to their folder")
    assert folder.is_dir(), f"SECONDREAD_TEST_DATA names {folder}, which is no folder"
    return folder


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test writes into the checkout, or reads what a person keeps there."""
    monkeypatch.setenv("SECONDREAD_HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("SECONDREAD_CATALOGUE_URI", raising=False)
    monkeypatch.delenv("SECONDREAD_SIGNING_KEY_FILE", raising=False)
    monkeypatch.delenv("SECONDREAD_TRUSTED_KEYS", raising=False)


@pytest.fixture(autouse=True)
def _own_logging() -> None:
    """What ran before may have sent log lines to a stream and level of its own, as every command does."""
    logger = logging.getLogger(ROOT_LOGGER)
    logger.handlers[:] = []
    logger.setLevel(logging.NOTSET)
    logger.propagate = True


@pytest.fixture(scope="session", autouse=True)
def _no_process_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """When all tests are done, nothing that they started is still running, whoever its parent is by now."""
    yield
    ours = str(tmp_path_factory.getbasetemp())
    me = psutil.Process()
    left = [child.cmdline() for child in me.children(recursive=True) if child.status() != psutil.STATUS_ZOMBIE]
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if process.pid != me.pid and any(ours in word for word in command):
            left.append(command)
    assert not left, f"still running: {left}"
