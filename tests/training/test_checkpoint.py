"""A checkpoint is whole, or refused by its name; what it holds is tensors and plain values, and nothing that runs."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

import pytest
import torch

from secondread.errors import DependencyError, IntegrityError
from secondread.training.checkpoint import CheckpointFolder, read_checkpoint, write_checkpoint

CONTENT = {"epoch": 3, "model": {"weight": torch.arange(6.0).view(2, 3)}, "figures": [{"loss": 0.1}], "best": (1, 2)}


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "one", CONTENT)
    content = read_checkpoint(tmp_path / "one")
    assert torch.equal(content.pop("model")["weight"], CONTENT["model"]["weight"])
    assert content == {name: value for name, value in CONTENT.items() if name != "model"}


@pytest.mark.parametrize("damage", ["flip", "cut", "append", "empty", "header"])
def test_a_damaged_one_is_refused_by_its_name(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "checkpoint-00003-0000000.pt"
    write_checkpoint(path, CONTENT)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    path.write_bytes(
        {
            "flip": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
            "cut": data[:middle],
            "append": data + b"\0",
            "empty": b"",
            "header": b"S" + data[1:],
        }[damage]
    )
    with pytest.raises(IntegrityError, match=rf"checkpoint {path} is damaged"):
        read_checkpoint(path)


def test_the_one_before_takes_the_place_of_a_damaged_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = CheckpointFolder(tmp_path / "checkpoints")
    assert folder.latest() is None
    for epoch, step in ((1, 0), (1, 7), (2, 0)):
        folder.write({"at": (epoch, step)}, epoch=epoch, step=step)
    first, last = sorted(folder.root.iterdir())  # older ones are gone
    assert folder.latest() == {"at": (2, 0)}
    os.truncate(last, 100)
    with caplog.at_level(logging.WARNING, logger="secondread"):
        assert folder.latest() == {"at": (1, 7)}
    assert f"checkpoint {last} is damaged" in caplog.text
    os.truncate(first, 100)
    with pytest.raises(IntegrityError, match=rf"checkpoint {first} is damaged.*--fresh"):
        folder.latest()


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
@pytest.mark.parametrize("function", ["touch", "unlink", "mkdir"])
def test_a_volume_that_is_not_writable_any_more_is_a_fault_to_be_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, code: int
) -> None:
    folder = CheckpointFolder(tmp_path / "checkpoints")
    for epoch in (1, 2):
        folder.write(CONTENT, epoch=epoch, step=0)

    def refused(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, function, refused)
    with pytest.raises(DependencyError, match=r"cannot write .*/checkpoints any more: .*goes on from the last"):
        folder.write(CONTENT, epoch=3, step=0)


class Harm:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("false",)


def test_a_checkpoint_that_somebody_made_up_runs_nothing(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "one", {"model": Harm()})
    with pytest.raises(IntegrityError, match="holds more than tensors and values"):
        read_checkpoint(tmp_path / "one")
