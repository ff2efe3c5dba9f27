"""The folder that a training works in: found again, nobody else's meanwhile, and gone in the end."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from secondread.config.train import TrainConfig
from secondread.data.versions.dataset import DatasetVersion
from secondread.errors import DependencyError, InputError, IntegrityError
from secondread.training.run_folder import run_folder, run_key

KEY = "0123456789abcdef" * 4


@pytest.fixture
def cut(tmp_path: Path) -> Path:
    """A storage in which a run was cut."""
    with pytest.raises(KeyboardInterrupt), run_folder(tmp_path, str(tmp_path / "storage"), KEY) as work:
        (work / "checkpoint").write_text("epoch 3")
        raise KeyboardInterrupt
    return tmp_path / "storage"


def test_what_was_cut_is_found_again_on_the_volume_and_gone_in_the_end(cut: Path, tmp_path: Path) -> None:
    with run_folder(tmp_path / "another pod", str(cut), KEY) as work:
        assert (work / "checkpoint").read_text() == "epoch 3"
    assert not list(cut.iterdir())


def test_a_run_that_begins_anew_finds_nothing_once_it_has_looked_at_what_it_forgets(cut: Path, tmp_path: Path) -> None:
    looked_at: list[str] = []

    def forget(work: Path) -> None:
        looked_at.extend(path.name for path in work.iterdir())

    with run_folder(tmp_path, str(cut), KEY, forget=forget) as work:
        assert not list(work.iterdir())
    assert looked_at == ["checkpoint"]


def test_a_mistake_in_how_it_is_called_again_costs_no_checkpoint(cut: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError), run_folder(tmp_path, str(cut), KEY):
        raise InputError("no such address.")
    with run_folder(tmp_path, str(cut), KEY) as work:
        assert (work / "checkpoint").is_file()


def test_wrong_input_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError), run_folder(tmp_path, "", KEY) as work:
        (work / "checkpoint").touch()
        raise InputError("a class has no image.")
    assert not list(tmp_path.iterdir())


def test_a_fault_of_the_volume_costs_no_checkpoint_of_a_first_run(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError), run_folder(tmp_path, str(tmp_path / "storage"), KEY) as work:
        (work / "checkpoint").touch()
        raise IntegrityError("the weights are not what the training wrote.")
    with run_folder(tmp_path, str(tmp_path / "storage"), KEY) as work:
        assert (work / "checkpoint").is_file()
    with pytest.raises(IntegrityError), run_folder(tmp_path, "", KEY):
        raise IntegrityError("nothing was done before the dataset could not be read.")
    assert [path.name for path in tmp_path.iterdir()] == ["storage"]


def test_what_cannot_be_removed_hides_no_error_and_costs_no_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stale(*_: object, **__: object) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(os, "rmdir", stale)
    with pytest.raises(InputError, match=r"a class has no image"), run_folder(tmp_path, "", KEY):
        raise InputError("a class has no image.")
    with run_folder(tmp_path, str(tmp_path / "storage"), KEY) as work:
        (work / "checkpoint").touch()
    assert not list(work.iterdir())
    with pytest.raises(OSError, match="Stale"), run_folder(tmp_path, "", KEY):
        pass  # nor is a model folder with a rest of it taken for whole


def test_two_runs_do_not_share_it(cut: Path, tmp_path: Path) -> None:
    with run_folder(tmp_path / "a pod that is ending", str(cut), KEY) as work:
        with pytest.raises(DependencyError, match="another run is writing"), run_folder(tmp_path, str(cut), KEY):
            pytest.fail("the block must not be entered")
        assert (work / "checkpoint").is_file()


def test_a_storage_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(InputError, match=r"cannot write .*Set train\.storage to a folder that you may write to"),
        run_folder(tmp_path, str(tmp_path / "file"), KEY),
    ):
        pytest.fail("the block must not be entered")


def test_a_full_storage_is_named_itself_and_what_is_done_stays(cut: Path, tmp_path: Path) -> None:
    message = r"no room is left for .*/storage\. Free space and start the run again: it goes on from there"
    with pytest.raises(DependencyError, match=message), run_folder(tmp_path, str(cut), KEY):
        Path("/dev/full").write_text("a byte")
    with run_folder(tmp_path, str(cut), KEY) as work:
        assert (work / "checkpoint").is_file()


def test_only_what_decides_on_the_weights_decides_on_the_folder(dataset: DatasetVersion) -> None:
    config = TrainConfig()
    elsewhere = replace(
        config, name="other", storage="/mnt", ray_address="head:6379", max_failures=5, checkpoint_minutes=1.0
    )
    assert run_key(dataset, elsewhere, "") == run_key(dataset, config, "")
    afterwards = replace(
        config,
        explain=False,
        audit_images=0,
        abstain_share=0.2,
        out_of_distribution_share=0.1,
        class_sensitivity=0.8,
    )
    assert run_key(dataset, afterwards, "") == run_key(dataset, config, "")
    assert run_key(dataset, replace(config, learning_rate=1e-4), "") != run_key(dataset, config, "")
