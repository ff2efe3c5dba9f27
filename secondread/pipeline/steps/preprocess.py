"""Step: from ingested images to a dataset version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from secondread.config.mapping import from_mapping
from secondread.config.preprocess import PreprocessConfig
from secondread.data.version import write_dataset_version
from secondread.pipeline.steps.begin import Settings, begin, split_engine
from secondread.pipeline.success import recorded, verify_success, write_success


def preprocess(ingested: str, output: str, *, settings: Settings) -> dict[str, Any]:
    """Make a dataset version of ingested images.

    Args:
        ingested: what step `ingest` wrote.
        output: folder to write.
        settings: fields of `PreprocessConfig` and of `EngineConfig`.
    Returns:
        `dataset_version` and `counts` by split and class.
    """
    environment, source, folder = begin(), Path(ingested), Path(output)
    with recorded("preprocess", folder):
        verify_success(source, step="ingest")
        engine, chosen = split_engine(settings, environment)
        version = write_dataset_version(source, folder, from_mapping(PreprocessConfig, chosen), engine=engine)
        facts = {"dataset_version": version.name, "counts": version.counts, "synthetic": version.synthetic}
        write_success(folder, step="preprocess", inputs={"ingested": source}, facts=facts)
    return facts
