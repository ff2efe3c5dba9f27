"""A model folder knows the run that trained it, wherever it is copied."""

from pathlib import Path

import pytest

from secondread.errors import IntegrityError
from secondread.tracking.origin import Origin


def test_what_was_written_is_read(tmp_path: Path) -> None:
    Origin("abc", artifacts="var-model").write(tmp_path)
    assert Origin.read(tmp_path) == Origin("abc", artifacts="var-model")


def test_a_folder_that_says_nothing_has_no_run(tmp_path: Path) -> None:
    assert Origin.read(tmp_path) == Origin("")


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "tracking.json").write_text('{"run": "abc"}')
    with pytest.raises(IntegrityError, match=r"tracking\.json is no record of a run"):
        Origin.read(tmp_path)
