"""The score step trusts what is signed, and what it was asked to read; a step that was killed is gone on with."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from secondread.config.environment import Environment
from secondread.data.sources.unlabelled import identify_images
from secondread.errors import InputError
from secondread.export.repository.layout import write_repository
from secondread.export.repository.signing import sign_folder
from secondread.export.repository.signing_key import make_key_pair
from secondread.model.folder import ModelFolder
from secondread.pipeline.steps.score import score
from secondread.pipeline.success import failures, verify_success
from secondread.serving.batch import read as batch
from secondread.tracking.registry import Registry

IMAGES = 24


@pytest.fixture
def films(tmp_path: Path, film: Callable[..., bytes]) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    for index in range(IMAGES):
        (folder / f"{index:02d}.png").write_bytes(film(index))
    return folder


@pytest.fixture
def repository(tiny_model: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Signed with a key that is trusted."""
    folder = write_repository(tiny_model, tmp_path / "models", name="cxr", version=3)
    key = make_key_pair(tmp_path / "keys")
    sign_folder(folder, key)
    monkeypatch.setenv("SECONDREAD_TRUSTED_KEYS", str(key.path.with_suffix(".pub")))
    return folder


@pytest.fixture
def run(films: Path, repository: Path, record: str) -> Callable[..., dict[str, Any]]:
    def step(output: str = record, **changes: Any) -> dict[str, Any]:
        given = {"name": "cxr", "which": "champion", "repository": str(repository), "settings": {}, **changes}
        return score(str(films), output, **given)

    return step


def check_refused(step: Callable[[], object], record: str, said: str) -> None:
    with pytest.raises(SystemExit) as ended:
        step()
    assert ended.value.code == InputError.exit_code
    (failure,) = failures(Path(record).parent)
    assert said in failure.message
    assert not Path(record).exists()


def test_it_says_what_it_read_with(run: Callable[..., Any], repository: Path, tiny_model: ModelFolder) -> None:
    model = {"name": "cxr", "version": "3", "digest": tiny_model.digest(), "repository": str(repository)}
    assert run()["model"] == model


def test_what_nobody_signed_who_is_trusted_reads_nothing(
    run: Callable[..., Any], repository: Path, record: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = repository / "cxr/3/config.json"
    kept = config.read_text()
    config.write_text(kept.replace('"out_of_distribution": 0.9', '"out_of_distribution": 9.0'))
    assert config.read_text() != kept
    check_refused(run, record, "is not what was signed (changed: cxr/3/config.json)")

    config.write_text(kept)
    shutil.rmtree(Path(record).parent)
    monkeypatch.setenv("SECONDREAD_TRUSTED_KEYS", str(make_key_pair(tmp_path / "others").path.with_suffix(".pub")))
    check_refused(run, record, "which is not trusted here")

    shutil.rmtree(Path(record).parent)
    monkeypatch.setenv("SECONDREAD_TRUSTED_KEYS", str(tmp_path / "not-mounted"))
    check_refused(run, record, "no public key to verify models with")


def test_another_model_than_was_asked_for_reads_nothing(run: Callable[..., Any], record: str) -> None:
    check_refused(lambda: run(digest="0" * 64), record, "holds another model by now than was asked for")


def test_images_that_changed_since_are_refused(
    run: Callable[..., Any], films: Path, record: str, film: Callable[..., bytes]
) -> None:
    _, before = identify_images(str(films))
    (films / "00.png").write_bytes(film(99))
    check_refused(lambda: run(source_fingerprint=before), record, "changed since the run was asked for")
    shutil.rmtree(Path(record).parent)
    assert run(source_fingerprint=identify_images(str(films))[1])["images"] == IMAGES


def test_another_library_than_the_clients_is_refused(run: Callable[..., Any], record: str) -> None:
    check_refused(lambda: run(client_code="0" * 64), record, "client and image are of different versions")


def test_a_setting_that_is_none_is_refused(run: Callable[..., Any], record: str) -> None:
    check_refused(lambda: run(settings={"egnine": "ray"}), record, "score has no setting egnine")


def test_a_version_by_its_number_is_asked_of_the_registry_where_the_step_runs(
    films: Path, tiny_model: ModelFolder, record: str, mlflow_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
    root = tmp_path / "registered"
    Registry(mlflow_uri).register(tiny_model, name="cxr", root=root, tags={}, environment=Environment.read())
    facts = score(str(films), record, name="cxr", which="1", settings={})
    assert facts["model"]["repository"] == str(root / "cxr" / tiny_model.digest())


# a step that is killed when its second batch is in the journal
_KILLED = """
import json, os, signal, sys
from secondread.data.engines.journal import Journal
from secondread.pipeline.steps.score import score
from secondread.serving.batch import read as batch
batch.BATCH_IMAGES = 8
write = Journal.write
def write_and_die(self, number, document):
    write(self, number, document)
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
Journal.write = write_and_die
score(*sys.argv[1:3], **json.loads(sys.argv[3]))
"""


def test_a_step_that_was_killed_is_gone_on_with_by_the_next_run_which_writes_elsewhere(
    run: Callable[..., Any],
    films: Path,
    repository: Path,
    record: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    given = {"name": "cxr", "which": "champion", "repository": str(repository), "settings": {}}
    command = [sys.executable, "-c", _KILLED, str(films), str(tmp_path / "first" / "readings"), json.dumps(given)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    monkeypatch.setattr(batch, "BATCH_IMAGES", 8)
    run()
    assert f"going on where a run was cut: 16 of {IMAGES} images are done" in capfd.readouterr().err
    verify_success(Path(record), step="score")
    assert pq.read_table(Path(record) / "readings.parquet").num_rows == IMAGES
    left = Environment.read().home / "scoring"
    assert not list(left.iterdir())
