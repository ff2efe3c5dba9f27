"""The deliver step asks the gate again, and takes nothing that is not what the score step wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from secondread.config.environment import Environment
from secondread.data.store.open import open_object_store
from secondread.errors import DependencyError, GateRefused, InputError
from secondread.pipeline.steps.deliver import deliver
from secondread.pipeline.success import failures, write_success

FACTS = {"images": 10, "unreadable": 2, "out_of_distribution": 0, "model": {"name": "cxr", "digest": "d"}}


@pytest.fixture
def readings(tmp_path: Path) -> Path:
    """As the score step seals them."""
    folder = tmp_path / "readings"
    folder.mkdir()
    (folder / "readings.parquet").write_bytes(b"a table")
    (folder / "readings.html").write_text("a page")
    write_success(folder, step="score", inputs={}, facts=FACTS)
    return folder


def check_failed(readings: Path, record: str, *, code: int, said: str, limit: float = 0.2) -> None:
    root = Path(record).parent
    with pytest.raises(SystemExit) as ended:
        deliver(str(readings), record, publish_to=str(root / "store"), unreadable_at_most=limit)
    assert ended.value.code == code
    (failure,) = failures(root)
    assert said in failure.message
    assert not (root / "store").exists()


def test_readings_that_the_gate_refused_are_not_delivered_whatever_the_condition_did(
    readings: Path, record: str
) -> None:
    check_failed(readings, record, code=GateRefused.exit_code, said="2 of 10 images cannot be read, 20.0 %", limit=0.1)


def test_a_table_that_was_changed_is_not_delivered(readings: Path, record: str) -> None:
    (readings / "readings.parquet").write_bytes(b"another")
    check_failed(readings, record, code=InputError.exit_code, said="has changed since step 'score' wrote it")


def test_delivering_to_a_store_that_was_down_is_done_when_tried_again(
    readings: Path, record: str, swift: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in swift.variables().items():
        monkeypatch.setenv(name, value)
    swift.make_container("readings")
    swift.kill()
    with pytest.raises(SystemExit) as ended:
        deliver(str(readings), record, publish_to="s3://readings/cxr", unreadable_at_most=0.2)
    assert ended.value.code == DependencyError.exit_code
    swift.start()
    facts = deliver(str(readings), record, publish_to="s3://readings/cxr", unreadable_at_most=0.2)
    assert facts["sent"] == 3
    store = open_object_store("swift://readings/cxr", Environment.read())
    folder = facts["uri"].removeprefix("s3://readings/cxr/").partition("/")[0]
    found = {item.key for item in store.objects("", at_most=9)}
    assert found == {f"{folder}/{name}" for name in ("readings.parquet", "readings.html", "_COMPLETE.json")}
    assert store.read(f"{folder}/readings.parquet") == b"a table"
    again = deliver(str(readings), record, publish_to="s3://readings/cxr", unreadable_at_most=0.2)
    assert (again["sent"], again["there"]) == (0, 3)
