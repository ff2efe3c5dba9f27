"""The sweep of Triton's settings: what a setting means to Triton, and a sweep so short that its figures say nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import triton_sweep
from benchmarks.triton_settings import AS_SERVED, BATCHINGS, Setting, on_a_triton, settings
from secondread.errors import DependencyError
from secondread.export.repository.triton_config import triton_config
from secondread.model.folder import ModelFolder


def test_what_is_served_is_one_of_what_is_compared(tiny_model: ModelFolder) -> None:
    text = triton_config(tiny_model, "secondread")
    assert Setting(1, 2, AS_SERVED).config(text) == text


def test_a_setting_stands_in_tritons_configuration(tiny_model: ModelFolder) -> None:
    text = triton_config(tiny_model, "secondread")
    changed = Setting(4, 0, BATCHINGS[-1]).config(text)
    assert "instance_group [ { kind: KIND_GPU count: 4 } ]" in changed
    assert "dynamic_batching { preferred_batch_size: [ 8, 16 ] max_queue_delay_microseconds: 5000 }" in changed
    assert "dynamic_batching" not in Setting(1, 1, BATCHINGS[0]).config(text)


def test_each_setting_is_measured_and_the_page_has_all(
    tiny_model: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    two = [Setting(1, 1, AS_SERVED), Setting(2, 1, BATCHINGS[3])]
    monkeypatch.setattr(triton_sweep, "settings", lambda *, gpu: two)  # noqa: ARG005
    output = tmp_path / "sweep.md"
    arguments = ["--model", str(tiny_model.root), "--rounds", "2", "--seconds", "0.1", "--output", str(output)]
    assert triton_sweep.main(arguments) == 0
    rows = [line for line in output.read_text().splitlines() if line.startswith(("| 1", "| 2"))]
    assert rows[0].startswith("| 1 | 1 | what waits (as served) | ")
    assert rows[1].startswith("| 2 | 1 | wait 1 ms for 4 | ")
    assert sum(row.count("**") for row in rows) == 2 * len(triton_sweep.CALLERS)
    assert "round 2 of 2, 2 of 2" in capsys.readouterr().err


def test_every_combination_is_compared_once() -> None:
    for compared in (settings(gpu=False), settings(gpu=True)):
        assert len(set(compared)) == len(compared) > len(BATCHINGS)
    assert {each.threads for each in settings(gpu=True)} == {0}


def test_without_a_gpus_triton_it_says_what_it_needs(
    tiny_model: ModelFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        pytest.raises(DependencyError, match=r"Triton at 127\.0\.0\.1:1 did not load sweep .*refused"),
        on_a_triton(tiny_model, tmp_path, "127.0.0.1:1", Setting(1, 0, AS_SERVED)),
    ):
        pass
    assert not list(tmp_path.iterdir())
    assert triton_sweep.main(["--gpu"]) == 2
    assert "--gpu goes with --address and --repository of a Triton that runs" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        triton_sweep.main(["--help"])
    assert "--model-control-mode=explicit" in capsys.readouterr().out
