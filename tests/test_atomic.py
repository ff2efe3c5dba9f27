"""Files and folders are whole or absent."""

import errno
import socket
import stat
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from secondread.atomic import atomic_file, atomic_folder, own_folder, read_json, resumable_folder, write_json
from secondread.errors import DependencyError, InputError, IntegrityError


def test_a_file_appears_when_the_block_ends_well(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "a.txt") as aside:
        aside.write_text("whole")
        assert not (tmp_path / "a.txt").exists()
    assert (tmp_path / "a.txt").read_text() == "whole"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_failed_block_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(RuntimeError, match="power cut"), atomic_file(tmp_path / "a.txt") as aside:
        aside.write_text("half")
        raise RuntimeError("power cut")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_replaces_one_of_its_kind_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    (tmp_path / "out" / "mark").touch()
    with atomic_folder(tmp_path / "out", marker="mark") as aside:
        (aside / "mark").touch()
        (aside / "new").touch()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["mark", "new"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with atomic_folder(tmp_path / "out", marker="mark") as aside:
        (aside / "mark").touch()
    assert (tmp_path / "out" / "mark").exists()


def test_a_folder_of_somebody_else_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter-1.txt").write_text("years of work")
    with (
        pytest.raises(InputError, match=r"thesis holds other files .*Choose a new or empty folder"),
        atomic_folder(tmp_path / "thesis", marker="mark"),
    ):
        pytest.fail("the block must not be entered")
    assert (tmp_path / "thesis" / "chapter-1.txt").read_text() == "years of work"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis"]


@pytest.mark.parametrize("below", ["", "in/deep"])
def test_a_folder_that_holds_what_is_read_is_never_replaced(tmp_path: Path, below: str) -> None:
    source = tmp_path / "out" / below
    source.mkdir(parents=True)
    (tmp_path / "out" / "mark").touch()
    with (
        pytest.raises(InputError, match=r"out is, or holds, what is to be read"),
        atomic_folder(tmp_path / "out", marker="mark", inputs=[source]),
    ):
        pytest.fail("the block must not be entered")


@pytest.mark.parametrize("kind", ["link", "file"])
def test_a_link_or_a_file_is_not_replaced_by_a_folder(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    if kind == "link":
        (tmp_path / "real").mkdir()
        out.symlink_to(tmp_path / "real")
    else:
        out.write_text("keep")
    with pytest.raises(InputError, match=f"out is a {kind}"), atomic_folder(out, marker="mark"):
        pytest.fail("the block must not be entered")
    assert out.is_symlink() or out.read_text() == "keep"


def test_a_failed_folder_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "out", marker="mark") as aside:
        (aside / "half").touch()
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_removed_and_what_a_running_one_writes_is_not(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    dead = tmp_path / f".out.{socket.gethostname()}-{ended.pid}-0.partial"
    elsewhere = tmp_path / f".out.another-machine-{ended.pid}-0.partial"
    for folder in (dead, elsewhere):
        folder.mkdir()
        (folder / "half").touch()
    with atomic_folder(tmp_path / "out", marker="mark") as running:
        (running / "mark").touch()
        with atomic_folder(tmp_path / "out", marker="mark") as second:
            (second / "mark").touch()
        assert (running / "mark").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [elsewhere.name, "out"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(5, "Input/output error"), DependencyError("down")])
def test_what_was_cut_is_given_back_under_the_same_key(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), resumable_folder(tmp_path / "out", marker="mark", key="a" * 64) as aside:
        (aside / "half").touch()
        raise error
    assert not (tmp_path / "out").exists()
    with resumable_folder(tmp_path / "out", marker="mark", key="a" * 64) as aside:
        assert (aside / "half").exists()
        (aside / "mark").touch()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["half", "mark"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_was_cut_under_another_key_is_removed(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), resumable_folder(tmp_path / "out", marker="mark", key="a" * 64) as aside:
        (aside / "half").touch()
        raise KeyboardInterrupt
    with resumable_folder(tmp_path / "out", marker="mark", key="b" * 64) as aside:
        assert not list(aside.iterdir())
        (aside / "mark").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_wrong_input_leaves_nothing_to_go_on_with(tmp_path: Path) -> None:
    with pytest.raises(InputError), resumable_folder(tmp_path / "out", marker="mark", key="a" * 64) as aside:
        (aside / "half").touch()
        raise InputError("mend it.")
    assert not list(tmp_path.iterdir())


def test_a_fault_that_somebody_mends_costs_nothing_of_what_was_done(tmp_path: Path) -> None:
    def run() -> AbstractContextManager[Path]:
        return resumable_folder(tmp_path / "out", marker="mark", key="a" * 64, kept_after=(IntegrityError,))

    with pytest.raises(InputError), run() as aside:
        (aside / "half").touch()
        raise InputError("mend it.")
    assert not list(tmp_path.iterdir())
    with pytest.raises(IntegrityError), run() as aside:
        (aside / "half").touch()
        raise IntegrityError("look after the volume.")
    with run() as aside:
        assert (aside / "half").is_file()
        (aside / "mark").touch()


def test_a_mistake_in_how_a_run_is_called_again_costs_nothing_of_what_was_done(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), resumable_folder(tmp_path / "out", marker="mark", key="a" * 64) as aside:
        (aside / "half").touch()
        raise KeyboardInterrupt
    with pytest.raises(InputError), resumable_folder(tmp_path / "out", marker="mark", key="a" * 64):
        raise InputError("no such address.")
    with resumable_folder(tmp_path / "out", marker="mark", key="a" * 64) as aside:
        assert (aside / "half").is_file()
        (aside / "mark").touch()


def test_a_volume_that_fails_is_no_wrong_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(Path, "touch", fail)
    with pytest.raises(DependencyError, match=r"cannot write .*/a: Stale file handle"), atomic_file(tmp_path / "a"):
        pytest.fail("the block must not be entered")


def test_one_folder_is_written_by_one_run_at_a_time(tmp_path: Path) -> None:
    with resumable_folder(tmp_path / "out", marker="mark", key="a" * 64) as aside:
        with (
            pytest.raises(DependencyError, match="another run is writing"),
            resumable_folder(tmp_path / "out", marker="mark", key="a" * 64),
        ):
            pytest.fail("the block must not be entered")
        with resumable_folder(tmp_path / "out", marker="mark", key="b" * 64) as other:
            (other / "mark").touch()
        assert aside.is_dir()  # a run with another key removes what was cut, not what is running
        (aside / "mark").write_text("the last to end")
    assert (tmp_path / "out" / "mark").read_text() == "the last to end"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_of_ones_own_is_nobody_elses_and_goes_in_the_end(tmp_path: Path) -> None:
    with own_folder(tmp_path / "models") as first, own_folder(tmp_path / "models") as second:
        assert first != second
        assert stat.S_IMODE(first.stat().st_mode) == 0o700
        (first / "graph").touch()
    assert not list(tmp_path.iterdir())


def test_a_full_disk_asks_for_room(tmp_path: Path) -> None:
    with (
        pytest.raises(DependencyError, match=r"no room is left for .*/out\. Free space and start the run again"),
        resumable_folder(tmp_path / "out", marker="mark", key="a" * 64),
        Path("/dev/full").open("w") as file,
    ):
        file.write("a byte")
        file.flush()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(InputError, match=r"cannot write .*file/out"),
        atomic_folder(tmp_path / "file" / "out", marker="mark"),
    ):
        pass


def test_json_that_is_damaged_or_missing_is_named(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": 1})
    assert read_json(tmp_path / "a.json") == {"a": 1}
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(IntegrityError, match=r"a\.json is damaged"):
        read_json(tmp_path / "a.json")
    with pytest.raises(IntegrityError, match=r"b\.json is missing"):
        read_json(tmp_path / "b.json")
