"""Every notebook runs from top to bottom, as it is committed but for parameters that make it quick."""

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

from secondread.config.train import AUTO, TrainConfig
from secondread.model.vit import PRESETS

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

# What each notebook's first code cell says, and what the test puts there. A notebook that is not in here runs as it is.
SUBSTITUTIONS = {
    "01-first-model.ipynb": {
        "phantom://demo?images=1900&size=96": "phantom://demo?images=240&size=32&classes=cxr-normal,cxr-opacity,oct-dme",
        "IMAGE_SIZE = 64": "IMAGE_SIZE = 32",
        '{"image_presentations": 40_000}': '{"preset": "vit-test-32", "epochs": 2}',
        '{"resamples": 1_000}': '{"resamples": 100}',
        '{"timed_runs": 40}': '{"timed_runs": 2, "calibration_images": 16}',
    },
    "02-know-your-data.ipynb": {"images=480": "images=240", "RESAMPLES = 500": "RESAMPLES = 100"},
    "03-train-anywhere.ipynb": {
        "images=800&size=64": "images=240&size=32",
        "IMAGE_SIZE = 64": "IMAGE_SIZE = 32",
        '{"image_presentations": 12_000}': '{"preset": "vit-test-32", "epochs": 2}',
        # each strategy is trained once before; comparisons of several have tests of their own
        '("single", "ddp", "ray", "retrain")': '("single",)',
        "SEEDS = (0, 1, 2)": "SEEDS = (0,)",
    },
    "04-can-i-trust-it.ipynb": {
        "images=1600&size=96": "images=240&size=48",
        "IMAGE_SIZE = 64": "IMAGE_SIZE = 32",
        '{"image_presentations": 16_000}': '{"preset": "vit-test-32", "epochs": 2}',
        '{"stress_images": 100, "strange_images": 50}': '{"stress_images": 8, "strange_images": 4, "timed_runs": 0}',
        "RESAMPLES = 1_000": "RESAMPLES = 100",
    },
    "05-ask-the-second-reader.ipynb": {
        "images=1200&size=96": "images=240&size=32",
        "IMAGE_SIZE = 64": "IMAGE_SIZE = 32",
        '{"image_presentations": 16_000}': '{"preset": "vit-test-32", "epochs": 2}',
        '"seconds": 20.0': '"seconds": 2.0',
    },
    "06-let-a-model-in.ipynb": {
        "images=500&size=96": "images=120&size=32",
        "images=600&size=96": "images=180&size=32",
        "IMAGE_SIZE = 64": "IMAGE_SIZE = 32",
        # neither saliency nor the audit of a model card is asked for
        '{"image_presentations": 6_000}': '{"preset": "vit-test-32", "epochs": 2, "explain": False, "audit_images": 0}',
        "checks: [load_test, conformance]": "checks: [conformance]",
        "mirror_percent: 100, seconds_at_least: 20, requests_at_least: 300": (
            "mirror_percent: 100, seconds_at_least: 6, requests_at_least: 60"
        ),
        "  - {name: canary, traffic_percent: 20, seconds_at_least: 20, requests_at_least: 100}\n": "",
        "traffic_percent: 50, seconds_at_least: 20, requests_at_least: 200": (
            "traffic_percent: 50, seconds_at_least: 6, requests_at_least: 30"
        ),
        "traffic_percent: 100, seconds_at_least: 15, requests_at_least: 200": (
            "traffic_percent: 100, seconds_at_least: 6, requests_at_least: 30"
        ),
        # what a few dozen requests can show; and no drift, for which there are too few
        "errors_margin_points: 4": "errors_margin_points: 40",
        "refused_margin_points: 4": "refused_margin_points: 40",
        "classes_margin_points: 25": "classes_margin_points: 50",
        "confidence_margin_points: 30": "confidence_margin_points: 50",
        "outside_margin_points: 20": "outside_margin_points: 50",
        "[{statistic: predictions_psi}]": "[]",
        "settle_seconds: 5": "settle_seconds: 2",
    },
}
MACHINE_PATH = re.compile(
    r"(?<![\w:/.])/(?:work|tmp|home|root|usr|opt|Users|var|mnt|srv)/|site-packages|\.venv|file://"
)
LARGEST = 1_000_000  # bytes of a committed notebook: it is in every clone, for ever


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs_text(notebook: NotebookNode) -> str:
    """All that a reader could see of the outputs; pictures are left out, whose base64 says anything by chance."""
    text = "\n".join(str(output) for cell in code_cells(notebook) for output in cell.outputs)
    return re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)


def left_behind(folder: Path) -> list[str]:
    """Processes that work in a folder or name it on their command line."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            here = (process / "cwd").readlink().is_relative_to(folder)
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            continue  # it has ended, or is someone else's
        if here or str(folder) in command:
            found.append(f"{process.name}: {command}")
    return found


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    chosen: Path = request.param
    return chosen


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS
    assert set(SUBSTITUTIONS) <= {path.name for path in NOTEBOOKS}


def test_a_notebook_runs_and_leaves_nothing_running(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = nbformat.read(path, as_version=4)
    parameters = code_cells(notebook)[0]
    for written, quick in SUBSTITUTIONS.get(path.name, {}).items():
        assert parameters.source.count(written) == 1, f"{path.name} no longer has {written!r} in its first code cell"
        parameters.source = parameters.source.replace(written, quick)
    monkeypatch.setenv("SECONDREAD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    client = NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": tmp_path}})
    client.execute()  # raises where a cell does
    assert not left_behind(tmp_path)
    assert not MACHINE_PATH.findall(outputs_text(notebook)), "whoever runs and commits it would publish their paths"


def test_what_a_notebook_trains_is_there(path: Path) -> None:
    """As it is committed: the settings of training are replaced where it is run here."""
    said: dict[str, Any] = {}
    exec(code_cells(nbformat.read(path, as_version=4))[0].source, said)  # noqa: S102 - our own
    preset = TrainConfig(**said.get("TRAINING", {})).preset
    assert preset in {*PRESETS, AUTO}


def test_a_notebook_is_committed_as_it_ran(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), "run it from top to bottom"
    assert any("image/" in str(cell.outputs) for cell in cells), "it shows no picture"
    assert all(output.output_type != "error" for cell in cells for output in cell.outputs)
    assert not MACHINE_PATH.findall(outputs_text(notebook))
    assert path.stat().st_size < LARGEST
