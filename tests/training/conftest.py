"""A small dataset that can be learned in seconds: a bright disc, a dark disc or stripes, on noise."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from PIL import Image

from secondread.config.ingest import IngestConfig
from secondread.config.preprocess import PreprocessConfig
from secondread.config.train import TrainConfig
from secondread.data.ingest import ingest
from secondread.data.versions.dataset import DatasetVersion
from secondread.data.versions.version import write_dataset_version
from secondread.tracking import sender
from secondread.tracking.record import RunRecord
from secondread.tracking.training_run import TrainingRun

SIZE = 32
CLASSES = ("cxr-bright", "cxr-dark", "cxr-striped")


def picture(label: str, random: np.random.Generator) -> np.ndarray:
    """uint8 (32, 32)."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    row, column = random.uniform(10, 22, 2)
    disc = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 40)
    pattern = {"cxr-bright": disc, "cxr-dark": -disc, "cxr-striped": np.sin(rows + row) / 2}[label]
    return np.clip(120 + 90 * pattern + random.normal(0, 15, (SIZE, SIZE)), 0, 255).astype(np.uint8)


def draw_dataset(root: Path, *, images: int, seed: int) -> DatasetVersion:
    """Three classes of so many images each."""
    random = np.random.default_rng(seed)
    for label in CLASSES:
        (root / "films" / label).mkdir(parents=True)
        for index in range(images):
            Image.fromarray(picture(label, random)).save(root / "films" / label / f"{index:03d}.png")
    source = IngestConfig(source=str(root / "films"), modality="cxr")
    ingest(source, root / "ingested", patient_key=root / "patient.key")
    return write_dataset_version(root / "ingested", root / "dataset", PreprocessConfig(image_size=SIZE))


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DatasetVersion:
    """Three classes of 60 images."""
    return draw_dataset(tmp_path_factory.mktemp("patterns"), images=60, seed=0)


@pytest.fixture(scope="session")
def other_dataset(tmp_path_factory: pytest.TempPathFactory) -> DatasetVersion:
    """The same classes, 12 other images each."""
    return draw_dataset(tmp_path_factory.mktemp("other-patterns"), images=12, seed=1)


@pytest.fixture(scope="session")
def quick() -> Callable[..., TrainConfig]:
    """Make a recipe that learns them in seconds: `quick(epochs=2)`."""

    def make(**settings: object) -> TrainConfig:
        defaults = {"preset": "vit-test-32", "epochs": 2, "batch_size": 8, "learning_rate": 1e-2, "threads": 1}
        without = {"audit_images": 0, "explain": False}  # seconds each, and tested by themselves
        return TrainConfig(**{**defaults, **without, **settings})  # type: ignore[arg-type]

    return make


@pytest.fixture
def mlflow_gone_with_the_first_figure() -> Iterator[pytest.MonkeyPatch]:
    """MLflow takes a run's settings, and is away once there is a figure; until the patch that this gives is undone."""
    real = sender.deliver

    def deliver(client: MlflowClient, record: RunRecord) -> bool:
        if record.told():
            raise MlflowException("Connection refused")
        return real(client, record)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sender, "deliver", deliver)
        patch.setattr(sender, "_LAST_PAUSES", (0.0,))
        yield patch


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """No test leaves this process deaf to SIGTERM or Ctrl-C: processes that a later one forks would be, too."""
    heard = (signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in heard]
    yield
    assert [signal.getsignal(number) for number in heard] == before


@pytest.fixture
def killed_at() -> Callable[[str], AbstractContextManager[None]]:
    """A block in which all ends where that function would be called, as by SIGKILL: MLflow is not told of the end."""

    @contextmanager
    def killed(function: str) -> Iterator[None]:
        def end(*_: object, **__: object) -> None:
            raise KeyError("killed")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(function, end)
            patch.setattr(TrainingRun, "close", lambda *_, **__: False)
            patch.setattr(sender.Sender, "wake", lambda _: None)  # no thread is left of a process that was killed
            with pytest.raises(KeyError, match="killed"):
                yield

    return killed
