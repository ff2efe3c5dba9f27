"""`secondread data list`: what a folder or a store has."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from secondread.cli.main import app
from secondread.errors import InputError


def test_a_folder_without_versions_is_told_from_one_that_is_not_there(tmp_path: Path) -> None:
    empty = CliRunner().invoke(app, ["data", "list", str(tmp_path)])
    assert (empty.exit_code, empty.stdout) == (0, f"no dataset version in {tmp_path}\n")


@pytest.mark.parametrize("scheme", ["", "file://"])
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_folder_that_is_not_there_is_named(tmp_path: Path, scheme: str, more: list[str]) -> None:
    missing = tmp_path / "versoins"
    told = CliRunner().invoke(app, ["data", "list", f"{scheme}{missing}", *more])
    assert isinstance(told.exception, InputError)
    assert told.exception.exit_code == 2
    assert str(told.exception).startswith(f"{missing} does not exist.")
    assert told.stdout == ""
    assert not missing.exists()
