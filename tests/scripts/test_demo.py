"""What `make demo` leaves for a reader: an image that is still there, and what to try next."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """What a finished run printed, with one image of the test split."""
    images, evaluation = tmp_path / "images", tmp_path / "my evaluation"
    (images / "images").mkdir(parents=True)
    evaluation.mkdir()
    (images / "images" / "a.jpg").write_bytes(b"film")
    pd.DataFrame({"image_id": ["a"], "path": ["images/a.jpg"]}).to_parquet(images / "manifest.parquet")
    pd.DataFrame({"image_id": ["a"], "label": ["cxr-covid"]}).to_parquet(evaluation / "predictions.parquet")
    document = {
        "name": "secondread",
        "images": str(images),
        "report": str(evaluation / "report.html"),
        "metrics": {"accuracy": {"value": 0.9}, "auroc_macro": {"value": 0.99}},
        "seconds": {"ingest": 1.0},
        "cached": [],
        "mlflow_run": "r",
        "mlflow_tracking_uri": "sqlite:///mlflow.db",
        "registered_version": 1,
        "model_repository": "models/secondread/d",
    }
    (tmp_path / "run.json").write_text(json.dumps(document))
    return tmp_path / "run.json"


def script(name: str, *arguments: str) -> list[str]:
    command = [sys.executable, str(SCRIPTS / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_the_image_that_was_read_is_kept_and_replaces_an_earlier_one(run: Path, tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "test-image.png").write_bytes(b"earlier")
    assert script("demo_image.py", str(run), str(tmp_path / "demo")) == ["   an image labelled cxr-covid"]
    assert [path.name for path in (tmp_path / "demo").iterdir()] == ["test-image.jpg"]
    assert (tmp_path / "demo" / "test-image.jpg").read_bytes() == b"film"


def test_it_ends_with_what_to_try_next(run: Path, tmp_path: Path) -> None:
    assert script("demo_summary.py", str(run), "var/demo/test-image.jpg")[-4:] == [
        "try next",
        f"  xdg-open '{tmp_path}/my evaluation/report.html'",
        "  .venv/bin/secondread serve",
        "  .venv/bin/secondread predict var/demo/test-image.jpg --url http://127.0.0.1:8080",
    ]
