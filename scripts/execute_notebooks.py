"""Execute notebooks from top to bottom and keep what they show, in the same files. `make notebooks` calls it.

    python scripts/execute_notebooks.py notebooks/*.ipynb

Each runs in a folder and a home of its own that are gone afterwards, so that it shows what a first run shows. A
notebook that fails, or whose output would publish a path of this machine, stays as it was.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from secondread.atomic import atomic_file

CELL_SECONDS = 1_800  # for one cell: training on an old laptop
MACHINE_PATH = re.compile(
    r"(?<![\w:/.])/(?:work|tmp|home|root|usr|opt|Users|var|mnt|srv)/|site-packages|\.venv|file://"
)


def execute(path: Path) -> None:
    """Execute one notebook in place.

    Raises:
        CellExecutionError: a cell failed.
        ValueError: an output names a path of this machine.
    """
    notebook = nbformat.read(path, as_version=4)
    metadata = notebook.metadata.copy()
    with tempfile.TemporaryDirectory(prefix="secondread-notebook-") as folder:
        own = {"SECONDREAD_HOME": f"{folder}/home", "IPYTHONDIR": f"{folder}/ipython"}
        variables = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
        client = NotebookClient(
            notebook,
            timeout=CELL_SECONDS,
            kernel_name="python3",
            record_timing=False,
            resources={"metadata": {"path": folder}},
        )
        client.execute(env={**variables, **own})
    notebook.metadata = metadata  # the kernel adds its exact version, which is news at every run
    if found := MACHINE_PATH.search(shown(notebook)):
        raise ValueError(f"an output names a path of this machine ({found[0]}), which whoever commits it would publish")
    with atomic_file(path) as aside:
        nbformat.write(notebook, aside)


def shown(notebook: NotebookNode) -> str:
    """All that a reader could see of the outputs; pictures are left out, whose base64 says anything by chance."""
    text = "\n".join(str(output) for cell in notebook.cells for output in cell.get("outputs", []))
    return re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)


def main(paths: list[str]) -> int:
    """Execute notebooks, one after the other.

    Returns:
        2 where one failed, else 0.
    """
    failed = False
    for path in paths:
        start = time.monotonic()
        try:
            execute(Path(path))
        except (CellExecutionError, ValueError) as error:
            sys.stderr.write(f"notebooks: {path} stays as it was: {error}\n")
            failed = True
        else:
            sys.stdout.write(f"notebooks: {path} executed in {time.monotonic() - start:.0f} s\n")
    return 2 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
