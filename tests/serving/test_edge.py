"""Installed without extras it predicts and explains from a model folder, and says what the whole installation says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from secondread.model.folder import ModelFolder
from secondread.serving.predict import predict_with_model

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment's folder of programs."""
    folder = tmp_path_factory.mktemp("edge")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--constraint", str(ROOT / "constraints.txt"), str(ROOT)], check=True, capture_output=True)
    return folder / "bin"


@pytest.mark.full
def test_the_base_install_has_no_framework_and_answers_alike(
    edge: Path, model: ModelFolder, film: Callable[..., bytes], tmp_path: Path
) -> None:
    films = [tmp_path / name for name in ("one.png", "two.jpg")]
    for number, path in enumerate(films):
        path.write_bytes(film(number, kind="JPEG" if path.suffix == ".jpg" else "PNG"))
    listed = subprocess.run([edge / "python", "-m", "pip", "list", "--format=json"], capture_output=True, check=True)
    installed = {package["name"].lower() for package in json.loads(listed.stdout)}
    assert not installed & {"torch", "pandas", "pyarrow", "scikit-learn", "kserve", "mlflow", "tritonclient"}
    command = [edge / "secondread", "predict", *films, "--model", model.root, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for here, there in zip(predict_with_model(model.root, films), json.loads(done.stdout), strict=True):
        assert (there["label"], there["image_id"]) == (here.label, here.image_id)
        assert there["probabilities"] == pytest.approx(here.probabilities, abs=1e-6)
    command = [edge / "secondread", "explain", *films, "--model", model.root, "--output", tmp_path / "pictures"]
    subprocess.run(command, capture_output=True, check=True)
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 2
