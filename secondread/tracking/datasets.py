"""Dataset versions as MLflow's datasets: what a run was trained on, and a run of its own for each that is published.

A version is MLflow's dataset of the name `<modalities>-<size>px`, such as `cxr-96px`, with the first 36 characters of
its content hash as the digest (MLflow takes no more), the place it lies in as the source, the manifest's columns as the
schema and the images by split and class as the profile. MLflow keeps the first source that it is told for a name and
digest; so the input's tags say it too: `content_hash`, all 64 characters, and `uri`. A training run has two inputs,
`cxr-96px-train` and `cxr-96px-val`, since MLflow keeps one context for each dataset.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag
from mlflow.types import ColSpec, DataType, Schema
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT
from mlflow.utils.validation import MAX_DATASET_DIGEST_SIZE, MAX_INPUT_TAG_VALUE_SIZE

from secondread.data.versions.dataset import DatasetVersion

HASH_TAG, PLACE_TAG = "content_hash", "uri"
CONTEXTS = {"train": "training", "val": "validation"}  # of a training run, by split
PUBLISHED = "published"  # context of a whole version, in the run that says where it was published

_TYPES = {"string": DataType.string, "int32": DataType.integer, "float32": DataType.float}


@dataclass(frozen=True)
class TrackedDataset:
    """A dataset version and where it lies.

    Attributes:
        version: opened.
        uri: that others reach it by, or a path of this machine.
    """

    version: DatasetVersion
    uri: str

    @property
    def name(self) -> str:
        """What it is, the same for every version of the same kind."""
        modalities = sorted({info.modality for info in self.version.taxonomy.classes})
        return f"{'-'.join(modalities)}-{self.version.image_size}px"


def log_training_data(client: MlflowClient, run_id: str, dataset: TrackedDataset) -> None:
    """Say of a run which version it trains and validates on."""
    inputs = [
        _input(dataset, f"{dataset.name}-{split}", context, {split: dataset.version.counts.get(split, {})})
        for split, context in CONTEXTS.items()
    ]
    client.log_inputs(run_id, inputs)


def log_published(client: MlflowClient, run_id: str, dataset: TrackedDataset) -> None:
    """Say of a run which version it is about."""
    client.log_inputs(run_id, [_input(dataset, dataset.name, PUBLISHED, dataset.version.counts)])


def _input(dataset: TrackedDataset, name: str, context: str, counts: Mapping[str, Mapping[str, int]]) -> DatasetInput:
    """What MLflow is told of a version, or of some of its splits."""
    version = dataset.version
    entity = Dataset(
        name=name,
        digest=version.content_hash[:MAX_DATASET_DIGEST_SIZE],
        source_type=_source_type(dataset.uri),
        source=json.dumps({"uri": dataset.uri}),  # as MLflow's own sources of these types write it
        schema=json.dumps({"mlflow_colspec": _schema(version).to_dict()}),
        profile=json.dumps(_profile(counts)),
    )
    tags = {
        MLFLOW_DATASET_CONTEXT: context,
        HASH_TAG: version.content_hash,
        PLACE_TAG: dataset.uri[:MAX_INPUT_TAG_VALUE_SIZE],
    }
    return DatasetInput(entity, [InputTag(key, value) for key, value in tags.items()])


def _source_type(uri: str) -> str:
    """`s3`, `swift` or `local`; the first and last have a link, or a path, on MLflow's pages."""
    scheme, mark, _ = uri.partition("://")
    return scheme if mark and scheme != "file" else "local"


def _schema(version: DatasetVersion) -> Schema:
    """The manifest's columns, which MLflow's pages show as a table; of an array they show nothing."""
    types = version.manifest.dtypes.astype(str).to_dict()
    return Schema([ColSpec(_TYPES.get(kind, DataType.string), str(name)) for name, kind in types.items()])


def _profile(counts: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """Images in all, and by split and class."""
    by_split = {split: dict(classes) for split, classes in counts.items()}
    return {"images": sum(sum(classes.values()) for classes in by_split.values()), **by_split}
