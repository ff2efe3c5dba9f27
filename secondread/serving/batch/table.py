"""The table of readings, in Parquet, a row an image.

    path                   inside the input
    image_id               SHA-256 of the bytes, hex; empty where they could not be read
    label, confidence, urgency, out_of_distribution, ood_score
                           as the inference API says them; of an image that could not be read, empty
    p_<class>              probability of each class
    error                  why an image could not be read; empty where it could

What the table's metadata say under the key `secondread`, as JSON: model, version, digest, classes and the notice.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from secondread.atomic import atomic_file
from secondread.errors import InputError
from secondread.evaluation.reading_room.model_readings import ModelReadings
from secondread.export.repository.layout import RepositoryModel
from secondread.model.folder import ModelConfigFile
from secondread.serving.protocol import contract

METADATA_KEY = b"secondread"
PROBABILITY = "p_"

_COMPARED = ("path", "image_id", "label", "confidence", "out_of_distribution")


def columns_of(config: ModelConfigFile) -> list[str]:
    """The table's columns, for a model's classes."""
    reading = ("path", "image_id", "label", "confidence", "urgency", "out_of_distribution", "ood_score")
    return [*reading, *(f"{PROBABILITY}{name}" for name in config.taxonomy.names), "error"]


def write_table(columns: dict[str, list[Any]], model: RepositoryModel, file: Path) -> None:
    """Write the table; it appears whole or not at all.

    Args:
        columns: as `columns_of` names them, all of one length.
        model: that said so.
        file: to write.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"confidence": pa.float32(), "ood_score": pa.float32(), "out_of_distribution": pa.bool_()}
    probabilities = {name: pa.float32() for name in columns if name.startswith(PROBABILITY)}
    schema = pa.schema([(name, (kinds | probabilities).get(name, pa.string())) for name in columns])
    about = {"model": model.name, **contract.answer_parameters(model)}
    table = pa.table(columns, schema=schema.with_metadata({METADATA_KEY: json.dumps(about).encode()}))
    with atomic_file(file) as aside:
        pq.write_table(table, aside)


def read_table(file: Path) -> ModelReadings:
    """What the table says, as far as it is held beside a first reader's.

    Raises:
        InputError: it cannot be read, or is no table of readings.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(file, columns=list(_COMPARED), partitioning=None)
        about = json.loads(table.schema.metadata[METADATA_KEY])
        columns = {name: table[name].to_pylist() for name in _COMPARED}
        return ModelReadings(
            model=str(about["model"]),
            version=str(about["model_version"]),
            digest=str(about["digest"]),
            classes=tuple(json.loads(about["classes"])),
            image_ids=tuple(columns["image_id"]),
            paths=tuple(columns["path"]),
            labels=tuple(label or "" for label in columns["label"]),
            confidence=np.array([np.nan if each is None else each for each in columns["confidence"]], np.float32),
            out_of_distribution=np.array([bool(each) for each in columns["out_of_distribution"]]),
        )
    except FileNotFoundError as error:
        raise InputError(f"{file} does not exist. Name the table that `secondread batch` wrote.") from error
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{file} is no table of readings. Name the one that `secondread batch` wrote.") from error
