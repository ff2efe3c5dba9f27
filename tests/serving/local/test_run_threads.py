"""A light graph is run in one thread, since the server in front of Triton has the same CPUs; any other in all."""

from __future__ import annotations

from pathlib import Path

import pytest

from secondread.errors import IntegrityError
from secondread.model.folder import ModelFolder
from secondread.serving.local.run_threads import threads_of_a_run

LONG, NONE = 60.0, 0.0  # seconds that no run takes, and that every run takes


@pytest.mark.parametrize(("light_seconds", "threads"), [(LONG, 1), (NONE, 8)], ids=["light", "heavy"])
def test_a_light_graph_gets_one_thread_and_any_other_all(
    model: ModelFolder, light_seconds: float, threads: int
) -> None:
    assert threads_of_a_run(model.graph_path(), 8, light_seconds=light_seconds) == threads


def test_where_there_is_one_cpu_nothing_is_asked() -> None:
    assert threads_of_a_run(Path("nowhere"), 1) == 1


def test_what_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(IntegrityError, match="cannot be opened"):
        threads_of_a_run(tmp_path / "model.onnx", 2)
