"""Step: from ingested images to a dataset version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from secondread.config.environment import Environment
from secondread.config.mapping import from_mapping
from secondread.config.preprocess import PreprocessConfig
from secondread.data.store.lookup import open_version
from secondread.data.versions.dataset import DatasetVersion
from secondread.data.versions.version import write_dataset_version
from secondread.errors import IntegrityError
from secondread.pipeline.steps.begin import Settings, begin, split_engine
from secondread.pipeline.success import recorded, verify_success, write_success


def preprocess(
    ingested: str, output: str, *, settings: Settings, parent: str = "", parent_version: str = ""
) -> dict[str, Any]:
    """Make a dataset version of ingested images.

    Args:
        ingested: what step `ingest` wrote.
        output: folder to write.
        settings: fields of `PreprocessConfig` and of `EngineConfig`.
        parent: URI of the version that this one grows from; empty for none.
        parent_version: its content hash when the run was asked for; refused if it is another now.
    Returns:
        `dataset_version` and `counts` by split and class.
    """
    environment, source, folder = begin(), Path(ingested), Path(output)
    with recorded("preprocess", folder):
        verify_success(source, step="ingest")
        engine, chosen = split_engine(settings, environment)
        config = from_mapping(PreprocessConfig, chosen)
        grown_from = _parent(parent, parent_version, environment) if parent else None
        version = write_dataset_version(source, folder, config, grown_from, engine=engine)
        facts = {
            "dataset_version": version.name,
            "content_hash": version.content_hash,
            "parent": version.parent,
            "counts": version.counts,
            "synthetic": version.synthetic,
        }
        write_success(folder, step="preprocess", inputs={"ingested": source}, facts=facts)
    return facts


def _parent(uri: str, content_hash: str, environment: Environment) -> DatasetVersion:
    version = open_version(uri, environment)
    if content_hash and version.content_hash != content_hash:
        raise IntegrityError(f"the parent {uri} is another version by now ({version.name}). Start the run again.")
    return version
