"""What every test may use: real images, and a small set of films made on the spot."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the public image sets: SECONDREAD_TEST_DATA, else shared/data beside the checkout."""
    folder = Path(os.environ.get("SECONDREAD_TEST_DATA", ROOT.parent / "shared" / "data"))
    assert folder.is_dir(), f"{folder} is missing: set SECONDREAD_TEST_DATA to the folder of the public image sets"
    return folder


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test writes into the checkout, or reads what a person keeps there."""
    monkeypatch.setenv("SECONDREAD_HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def _film(seed: int, *, size: tuple[int, int] = (40, 48), kind: str = "PNG") -> bytes:
    """An encoded picture of noise on a gradient, different for every seed."""
    noise = np.random.default_rng(seed).integers(0, 60, size)
    gradient = np.linspace(0, 190, size[1])[None, :]
    buffer = io.BytesIO()
    Image.fromarray((noise + gradient).astype(np.uint8)).save(buffer, format=kind)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def film() -> Callable[..., bytes]:
    """Make an encoded picture: `film(seed)`."""
    return _film


@pytest.fixture
def films(tmp_path: Path) -> Callable[..., Path]:
    """Make a folder of class folders: `films(normal=6, covid=6)`."""

    def make(name: str = "films", **classes: int) -> Path:
        root = tmp_path / name
        for number, (label, count) in enumerate(classes.items()):
            folder = root / label.replace("_", "-")
            folder.mkdir(parents=True)
            for index in range(count):
                (folder / f"{index:03d}.png").write_bytes(_film(1000 * number + index))
        return root

    return make
