"""Typed settings, one frozen dataclass per stage, passed explicitly; `Environment.read` reads the environment once.

Every field states its unit and why that default. Bad values are refused when the object is made.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from secondread.errors import InputError

T = TypeVar("T")


def require(condition: bool, message: str) -> None:
    """Refuse a setting.

    Raises:
        InputError: with `message`, when `condition` does not hold.
    """
    if not condition:
        raise InputError(message)


def from_mapping(kind: type[T], values: Mapping[str, Any]) -> T:
    """Make a configuration from a mapping, such as a parsed JSON document.

    Raises:
        InputError: a key is no field of that configuration, or a value is refused.
    """
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - known)
    require(not unknown, f"{kind.__name__} has no setting {', '.join(unknown)}. It has {', '.join(sorted(known))}.")
    return kind(**values)


@dataclass(frozen=True)
class Environment:
    """What comes from environment variables, all of it."""

    home: Path  # SECONDREAD_HOME: everything written at run time; `var` so that a laptop needs no setting
    mlflow_tracking_uri: str  # MLFLOW_TRACKING_URI: a database or server; SQLite under `home` by default
    patient_key_file: Path  # SECONDREAD_PATIENT_KEY_FILE: secret of the keyed patient hash, made on first use
    log_json: bool  # SECONDREAD_LOG=json: ECS documents, as a log collector wants them; plain lines for people

    @classmethod
    def read(cls, variables: Mapping[str, str] | None = None) -> Environment:
        """Read the environment.

        Args:
            variables: instead of the process environment, for tests.
        """
        variables = os.environ if variables is None else variables
        home = Path(variables.get("SECONDREAD_HOME", "var")).resolve()
        return cls(
            home=home,
            mlflow_tracking_uri=variables.get("MLFLOW_TRACKING_URI", f"sqlite:///{home}/mlflow/mlflow.db"),
            patient_key_file=Path(variables.get("SECONDREAD_PATIENT_KEY_FILE", str(home / "keys" / "patient-1.key"))),
            log_json=variables.get("SECONDREAD_LOG", "") == "json",
        )


@dataclass(frozen=True)
class IngestConfig:
    """How a source becomes a stored folder of images and a manifest."""

    source: str  # URI: a folder, a .npz, or phantom://...
    public_ids: bool = False  # patient ids are published already: keep them, else they leave only as a keyed hash
    modality: str = ""  # `cxr` or `oct` for every image, where the source does not say
    max_file_bytes: int = 64 << 20  # bytes; a 15-bit chest film as DICOM is about 10 MB

    def __post_init__(self) -> None:
        require(bool(self.source), "the source is empty: name a folder, a .npz file or phantom://demo.")
        require(self.max_file_bytes > 0, f"max_file_bytes must be above 0, not {self.max_file_bytes}.")


@dataclass(frozen=True)
class PreprocessConfig:
    """How stored images become a dataset version."""

    image_size: int = 96  # pixels, both sides; findings of these sets survive it and two cores can train on it
    split_seed: int = 0  # picks one of the possible splits
    final_eval_share: float = 0.15  # share of groups set aside for simulated live traffic
    final_eval_min_images: int = 2_000  # below this many images none is set aside: too few to spare
    min_groups_per_class: int = 3  # groups; one each for train, val and test, else a class cannot be split

    def __post_init__(self) -> None:
        require(16 <= self.image_size <= 1024, f"image_size must be from 16 to 1024 pixels, not {self.image_size}.")
        require(0 <= self.final_eval_share < 0.5, f"final_eval_share must be in [0, 0.5), not {self.final_eval_share}.")
        require(self.min_groups_per_class >= 3, "min_groups_per_class must be at least 3: train, val and test.")


@dataclass(frozen=True)
class EvaluateConfig:
    """How a model is evaluated."""

    batch_size: int = 32  # images a run of the graph; larger gains nothing on a CPU
    resamples: int = 1_000  # bootstrap draws; bounds then move by about 0.001 from seed to seed
    level: float = 0.95  # share of the draws inside an interval; the custom of the field
    seed: int = 0  # of the draws
    shown_images: int = 12  # pictures in each of the report's two galleries; two rows on a desk, six on a phone

    def __post_init__(self) -> None:
        require(self.batch_size > 0, f"batch_size must be above 0, not {self.batch_size}.")
        require(self.resamples >= 100, f"resamples must be at least 100 for a 95 % interval, not {self.resamples}.")
        require(0.5 <= self.level < 1, f"level must be in [0.5, 1), not {self.level}.")
        require(self.shown_images >= 0, f"shown_images must not be negative, not {self.shown_images}.")


@dataclass(frozen=True)
class GateConfig:
    """What a model's figures must reach before it goes on; read from a `gate.yaml`. None: not asked for."""

    accuracy_above: float | None = 0.70  # share of images, exclusive: the seed project's gate
    auroc_macro_above: float | None = None  # exclusive; ask for it where classes are rare and accuracy says little
    balanced_accuracy_above: float | None = None  # mean recall, exclusive
    ece_below: float | None = None  # expected calibration error, exclusive
    images_at_least: int = 1  # images, inclusive; raise it so that a handful of lucky images decides nothing

    def __post_init__(self) -> None:
        for field in fields(self):
            limit = getattr(self, field.name)
            if field.name.endswith(("_above", "_below")):
                number = limit is None or (isinstance(limit, int | float) and 0 <= limit <= 1)
                require(number, f"gate: {field.name} must be a share from 0 to 1 or null, not {limit!r}.")
        whole = isinstance(self.images_at_least, int) and self.images_at_least >= 1
        require(whole, f"gate: images_at_least must be a whole number from 1, not {self.images_at_least!r}.")


@dataclass(frozen=True)
class QuantizeConfig:
    """How INT8 graphs are made, compared and chosen."""

    calibration_images: int = 256  # train images, as many of each class as there are; ranges settle by then
    accuracy_points: float = 0.5  # percentage points of val accuracy that a faster graph may cost
    latency_gain: float = 0.10  # share of fp32's latency that it must save, else the simpler graph stays
    batch_sizes: tuple[int, ...] = (1, 8)  # images a request, timed; the first decides: a physician waits for one
    timed_runs: int = 40  # runs of each graph and batch size, taken in turns; the median is kept
    threads: int = 0  # of each session; 0: the CPUs of the container
    seed: int = 0  # picks the calibration images

    def __post_init__(self) -> None:
        require(self.calibration_images > 0, f"calibration_images must be above 0, not {self.calibration_images}.")
        require(self.accuracy_points >= 0, f"accuracy_points must not be negative, not {self.accuracy_points}.")
        require(0 <= self.latency_gain < 1, f"latency_gain must be in [0, 1), not {self.latency_gain}.")
        sizes = bool(self.batch_sizes) and all(size > 0 for size in self.batch_sizes)
        require(sizes, f"batch_sizes must be numbers above 0, not {self.batch_sizes}.")
        require(self.timed_runs > 0, f"timed_runs must be above 0, not {self.timed_runs}.")
        require(self.threads >= 0, f"threads must not be negative, not {self.threads}.")


@dataclass(frozen=True)
class RegisterConfig:
    """Under which name, and where, a model is registered."""

    name: str = "secondread"  # registry model and Triton model; a site may run one for CXR and one for OCT
    root: str = ""  # folder or URI that holds <name>/<digest>/; `<home>/models` when empty

    def __post_init__(self) -> None:
        valid = self.name.replace("-", "").replace("_", "").isalnum() and self.name.isascii()
        require(valid, f"model name '{self.name}' may hold letters, digits, '-' and '_' only.")
