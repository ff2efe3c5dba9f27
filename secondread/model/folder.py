"""The model folder: one trained model with everything that says what it is. Read without torch, and no pickle in it.

model.safetensors   weights, for training on
fp32.onnx           the served graph (int8.onnx beside it once quantized)
explain.onnx        fp32.onnx with a saliency map as one more output; serving does without where it is missing
config.json         this file's `ModelConfigFile`
metrics.json        figures on val
training.json       what it learned from, and how: `TrainingRecord`
reference.parquet   embeddings and scores of val, for drift
MODEL_CARD.md       for people
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from secondread.atomic import read_json, sha256_file, write_json
from secondread.data.pixels.preprocess import Preprocessing
from secondread.errors import IntegrityError
from secondread.taxonomy import Taxonomy

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
METRICS_FILE = "metrics.json"
REFERENCE_FILE = "reference.parquet"
CARD_FILE = "MODEL_CARD.md"
FP32_GRAPH = "fp32.onnx"
INT8_GRAPH = "int8.onnx"
EXPLAIN_GRAPH = "explain.onnx"


@dataclass(frozen=True)
class Thresholds:
    """Limits that belong to the model, in the units of its own outputs.

    Attributes:
        abstain: confidence in [0, 1] below which the model should not be relied on.
        out_of_distribution: `ood_score` above which an image is none of the model's field.
        sensitivity: that `by_class` was chosen for, in (0, 1); None where there are no such thresholds.
        by_class: probability from which an image counts as of a class, so that on average this share of the patients
            that have it are found; a class that val has too few patients of is not in it. It says nothing of the other
            classes, and an image may count as of several.
    """

    abstain: float
    out_of_distribution: float
    sensitivity: float | None = None
    by_class: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelConfigFile:
    """What `config.json` says.

    Attributes:
        name: of the model, as in the registry.
        architecture: settings of the network, enough to build it again.
        taxonomy: classes in the order of the outputs.
        preprocessing: how bytes become the graph's pixels.
        temperature: by which the graph divides the margins of the logits, z_top - z; above 0.
        dataset_version: name (content hash) of the dataset version it was trained on.
        graph: file name of the graph to serve.
        synthetic: trained on generated images.
        library_version: of SecondRead, that wrote the folder.
        margin_power: that the graph raises these margins to; above 0. Older folders do not say it, and have 1.
    """

    name: str
    architecture: Mapping[str, Any]
    taxonomy: Taxonomy
    preprocessing: Preprocessing
    temperature: float
    thresholds: Thresholds
    dataset_version: str
    graph: str
    synthetic: bool
    library_version: str
    margin_power: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        document = asdict(self)
        document["taxonomy"] = self.taxonomy.to_dict()
        return document

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> ModelConfigFile:
        """From the JSON that `to_dict` gives.

        Raises:
            IntegrityError: a field is missing, not known, or holds what cannot be.
        """
        try:
            document = {"margin_power": 1.0, **document}
            values = {item.name: document[item.name] for item in fields(cls)}
            values["taxonomy"] = Taxonomy.from_dict(values["taxonomy"])
            values["preprocessing"] = Preprocessing.from_dict(values["preprocessing"])
            values["thresholds"] = Thresholds(**values["thresholds"])
            found = cls(**values)
        except (KeyError, TypeError) as error:
            raise IntegrityError(
                f"{CONFIG_FILE} of the model is not complete ({error}). Train or fetch it again."
            ) from error
        for name, holds in found._holds():
            if not holds:
                raise IntegrityError(f"{CONFIG_FILE} of the model: {name}. Train or fetch it again.")
        return found

    def _holds(self) -> Iterator[tuple[str, bool]]:
        """What must be true of it, whoever wrote the file."""
        limits, names = self.thresholds, self.taxonomy.names
        yield "graph is no plain file name", isinstance(self.graph, str) and Path(self.graph).name == self.graph != ""
        for name, value in (("temperature", self.temperature), ("margin_power", self.margin_power)):
            yield f"{name} is no number above 0", _is_number(value) and value > 0
        yield "thresholds.abstain is no number from 0 to 1", _is_number(limits.abstain) and 0 <= limits.abstain <= 1
        yield "thresholds.out_of_distribution is no number", _is_number(limits.out_of_distribution)
        yield "thresholds.by_class is no mapping", isinstance(limits.by_class, Mapping)
        for name, value in limits.by_class.items():
            yield f"thresholds.by_class names {name}, which is no class", name in names
            yield f"thresholds.by_class.{name} is no number from 0 to 1", _is_number(value) and 0 <= value <= 1

    @classmethod
    def read(cls, path: Path | str) -> ModelConfigFile:
        """Read a `config.json`."""
        return cls.from_dict(read_json(path))

    def write(self, folder: Path) -> None:
        """Write `config.json` into a model folder."""
        write_json(folder / CONFIG_FILE, self.to_dict())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True)
class ModelFolder:
    """A model folder that was opened.

    Attributes:
        root: the folder.
        config: what `config.json` says.
    """

    root: Path
    config: ModelConfigFile

    @classmethod
    def open(cls, path: Path | str) -> ModelFolder:
        """Open a model folder.

        Raises:
            IntegrityError: it is no model folder, or its graph is missing.
        """
        root = Path(path)
        if not (root / CONFIG_FILE).is_file():
            raise IntegrityError(
                f"{root} is no model folder: it has no {CONFIG_FILE}. Name the folder that train wrote."
            )
        folder = cls(root, ModelConfigFile.read(root / CONFIG_FILE))
        if not folder.graph_path().is_file():
            raise IntegrityError(f"{folder.graph_path()} is missing. Train or fetch the model again.")
        return folder

    def graph_path(self, graph: str | None = None) -> Path:
        """Path of a graph of this model; the one to serve by default."""
        return self.root / (graph or self.config.graph)

    def explain_path(self) -> Path | None:
        """Path of the graph that explains; None if there is none."""
        path = self.root / EXPLAIN_GRAPH
        return path if path.is_file() else None

    def digest(self) -> str:
        """SHA-256, hex, of what is served: the bytes of the graph, of `config.json`, and of the graph that explains."""
        explain = self.explain_path()
        files = [self.graph_path(), self.root / CONFIG_FILE, *([explain] if explain else [])]
        return hashlib.sha256("".join(map(sha256_file, files)).encode()).hexdigest()
