"""A dataset in a git repository: fetched whole or not at all, from a real repository on disk."""

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from secondread.cli.main import app
from secondread.data.sources.clone import clone
from secondread.data.sources.covid_chestxray import PUBLICATION
from secondread.data.sources.open import open_source
from secondread.errors import DependencyError, InputError

TABLE = "patientid,offset,sex,age,finding,view,modality,date,location,folder,filename,license\n"
ROW = "2,0,M,65,Pneumonia/Viral/COVID-19,PA,X-ray,2020,,images,a.jpeg,CC BY\n"


@pytest.fixture
def repository(plant: Callable[..., Path]) -> str:
    """A repository with one film; its file:// address makes git fetch as it does over a network."""
    root = plant("covid-chestxray-dataset", ["images/a.jpeg"])
    (root / "metadata.csv").write_text(TABLE + ROW)
    who = {f"GIT_{role}_{what}": "a@b.c" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run(["git", *words], cwd=root, check=True, env=os.environ | who)
    return f"file://{root}"


def test_it_is_fetched_once_and_read_as_the_dataset(repository: str, tmp_path: Path) -> None:
    path = clone(repository, tmp_path / "to")
    inode = (path / "metadata.csv").stat().st_ino
    assert clone(repository, tmp_path / "to") == path == tmp_path / "to" / "covid-chestxray-dataset"
    assert (path / "metadata.csv").stat().st_ino == inode
    (image,) = open_source(f"covid-chestxray:{path}").images()
    assert (image.name, image.label, image.patient_id) == ("images/a.jpeg", "cxr-covid", "ieee8023-2")


def test_a_damaged_object_and_a_repository_that_is_gone_leave_nothing(repository: str, tmp_path: Path) -> None:
    objects = Path(repository.removeprefix("file://")) / ".git" / "objects"
    biggest = max((path for path in objects.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    biggest.chmod(0o644)
    biggest.write_bytes(biggest.read_bytes()[:-20])
    for url in (repository, f"file://{tmp_path}/none"):
        with pytest.raises(DependencyError, match="git cannot fetch file://") as caught:
            clone(url, tmp_path / "to")
        assert "\n" not in str(caught.value)
    assert list((tmp_path / "to").iterdir()) == []


def test_another_folder_of_that_name_is_not_lost(repository: str, tmp_path: Path) -> None:
    (tmp_path / "to" / "covid-chestxray-dataset").mkdir(parents=True)
    (tmp_path / "to" / "covid-chestxray-dataset" / "mine.txt").write_text("x")
    with pytest.raises(InputError, match="holds other files"):
        clone(repository, tmp_path / "to")


def test_git_is_named_where_it_is_missing(repository: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DependencyError, match="git is missing"):
        clone(repository, tmp_path / "to")


def test_the_command(repository: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"covid-chestxray": replace(PUBLICATION, repository=repository)}
    monkeypatch.setattr("secondread.data.sources.download.repositories", lambda: own)
    result = CliRunner().invoke(app, ["data", "download", "covid-chestxray", "--to", str(tmp_path / "to")])
    assert result.exit_code == 0
    assert f"secondread data ingest covid-chestxray:{tmp_path}" in result.stdout.replace("\n", "")
