"""Success manifests: sealed last, checked first; and the record of a failure."""

from pathlib import Path

import pytest

from secondread.errors import DependencyError, GateRefused, InputError, IntegrityError
from secondread.pipeline.success import Failure, failures, recorded, verify_success, write_success


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    folder = tmp_path / "artifact"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "a.png").write_bytes(b"abc")
    (folder / "manifest.parquet").write_bytes(b"rows")
    write_success(folder, step="ingest", inputs={}, facts={"images": 1})
    return folder


def test_a_sealed_artifact_gives_its_facts(artifact: Path) -> None:
    assert verify_success(artifact, step="ingest") == {"images": 1}


def test_a_step_that_did_not_finish_is_found_whatever_the_runner_says(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="did not finish, whatever the runner says"):
        verify_success(tmp_path, step="ingest")


def test_the_output_of_another_step_is_refused(artifact: Path) -> None:
    with pytest.raises(IntegrityError, match="written by step 'ingest', not by 'train'"):
        verify_success(artifact, step="train")


def test_a_changed_file_is_found(artifact: Path) -> None:
    (artifact / "manifest.parquet").write_bytes(b"rowz")
    with pytest.raises(IntegrityError, match=r"manifest\.parquet is missing or has changed"):
        verify_success(artifact, step="ingest")


def test_a_missing_file_is_found(artifact: Path) -> None:
    (artifact / "manifest.parquet").unlink()
    with pytest.raises(IntegrityError, match=r"manifest\.parquet is missing"):
        verify_success(artifact, step="ingest")


def test_a_missing_image_is_found(artifact: Path) -> None:
    (artifact / "images" / "a.png").unlink()
    with pytest.raises(IntegrityError, match="images is missing files"):
        verify_success(artifact, step="ingest")


def test_a_failure_is_written_down_with_its_exit_code(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended, recorded("ingest", tmp_path / "run" / "images"):
        raise InputError("source x does not exist.\nName another.")
    assert ended.value.code == 2
    assert failures(tmp_path) == [Failure("ingest", 2, "source x does not exist. Name another.")]


@pytest.mark.parametrize(("error", "exit_code"), [(InputError("bad"), 2), (GateRefused("no"), 4)])
def test_a_failure_that_trying_again_cannot_mend_is_not_tried_again(
    tmp_path: Path, error: Exception, exit_code: int
) -> None:
    output = tmp_path / "images"
    with pytest.raises(SystemExit), recorded("ingest", output):
        raise error
    with pytest.raises(SystemExit) as ended, recorded("ingest", output):
        pytest.fail("the step ran again")
    assert ended.value.code == exit_code


def test_a_dependency_that_was_down_is_asked_again(tmp_path: Path) -> None:
    output = tmp_path / "published"
    for message in ("the store is down", "it still is"):
        with pytest.raises(SystemExit) as ended, recorded("publish", output):
            raise DependencyError(message)
        assert ended.value.code == 3
        assert failures(tmp_path) == [Failure("publish", 3, message)]
    with recorded("publish", output):
        output.mkdir()
    assert failures(tmp_path) == []


def test_a_crash_is_tried_again_and_then_forgotten(tmp_path: Path) -> None:
    output = tmp_path / "images"
    with pytest.raises(ZeroDivisionError), recorded("ingest", output):
        raise ZeroDivisionError
    assert failures(tmp_path)[0].exit_code == 70
    with recorded("ingest", output):
        output.mkdir()
    assert failures(tmp_path) == []
