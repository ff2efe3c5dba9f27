"""The two databases that the catalogue runs on, both real."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def postgresql(postgres: Any) -> str:
    """URL of an empty database."""
    return str(postgres.new_database())


@pytest.fixture(params=["sqlite", "postgresql"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A catalogue that nobody has opened yet, on each of the databases."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/catalogue/catalogue.db"
    return str(request.getfixturevalue("postgresql"))
