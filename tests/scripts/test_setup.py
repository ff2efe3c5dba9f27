"""setup.cfg: everything is in the wheel, and the rules about imports cover everything."""

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {"secondread": "secondread", "components": "secondread_components", "pipelines": "secondread_pipelines"}


def packages() -> set[str]:
    """Every folder with an `__init__.py`, by the name that it is imported by."""
    found = set()
    for folder, name in FOLDERS.items():
        for path in (ROOT / folder).rglob("__init__.py"):
            found.add(".".join((name, *path.parent.relative_to(ROOT / folder).parts)))
    return found


def test_every_package_is_in_the_wheel() -> None:
    """A checkout finds what is not listed, too; an image does not."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    assert set(settings["options"]["packages"].split()) == packages()


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three folders and the rules, to be broken."""
    folder = tmp_path_factory.mktemp("copy")
    ignored = shutil.ignore_patterns("__pycache__")
    for source, name in FOLDERS.items():
        shutil.copytree(ROOT / source, folder / name, ignore=ignored)
    shutil.copy(ROOT / "setup.cfg", folder)
    return folder


@pytest.mark.parametrize(
    ("file", "forbidden", "rule"),
    [
        ("secondread/training/record.py", "mlflow", "MLflow is imported by tracking alone"),
        ("secondread/doctor.py", "mlflow.entities", "MLflow is imported by tracking alone"),
        ("secondread_components/train/component.py", "mlflow", "MLflow is imported by tracking alone"),
        ("secondread/pipeline/tags.py", "secondread_components.train.component", "the library imports neither"),
        ("secondread/data/pixels/decode.py", "secondread_pipelines.train", "the library imports neither"),
    ],
)
def test_a_forbidden_import_is_found(copy: Path, file: str, forbidden: str, rule: str) -> None:
    path = copy / file
    text = path.read_text()
    try:
        path.write_text(f"{text}\nimport {forbidden}\n")
        said = lint(copy)
    finally:
        path.write_text(text)
    assert any(rule in line and "BROKEN" in line for line in said), said


def lint(folder: Path) -> list[str]:
    """What import-linter says of each rule."""
    script = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    environment = {"PYTHONPATH": str(folder), "COLUMNS": "200", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    return " ".join(done.stdout.split()).replace("KEPT", "KEPT\n").replace("BROKEN", "BROKEN\n").splitlines()


def test_the_rules_hold_as_they_are(copy: Path) -> None:
    said = lint(copy)
    assert sum("KEPT" in line for line in said) == 8
    assert "BROKEN" not in "".join(said)
