"""`make notebooks` keeps what a notebook shows, and publishes nothing of the machine that ran it."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "execute_notebooks.py"


def notebook(folder: Path, *cells: str) -> Path:
    path = folder / "01-example.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(cell) for cell in cells]), path)
    return path


def run(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), str(path)], capture_output=True, text=True, check=False)


def test_outputs_are_written_into_the_notebook(tmp_path: Path) -> None:
    path = notebook(tmp_path, "x = 6", "import os; os.path.basename(os.environ['SECONDREAD_HOME']), x * 7")
    done = run(path)
    assert done.returncode == 0, done.stderr
    first, second = nbformat.read(path, as_version=4).cells
    assert (first.execution_count, second.execution_count) == (1, 2)
    assert second.outputs[0].data["text/plain"] == "('home', 42)"
    assert second.metadata == {}
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("cell", "reason"),
    [("print('/home/ada/films')", "names a path of this machine"), ("1 / 0", "ZeroDivisionError")],
)
def test_a_notebook_that_may_not_be_published_stays_as_it_was(tmp_path: Path, cell: str, reason: str) -> None:
    path = notebook(tmp_path, cell)
    before = path.read_bytes()
    done = run(path)
    assert done.returncode == 2
    assert reason in done.stderr
    assert path.read_bytes() == before
