"""Step: from a source to checked images and their manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from secondread.config.ingest import IngestConfig
from secondread.config.mapping import from_mapping
from secondread.data.ingest import ingest as run_ingest
from secondread.pipeline.code import check_code
from secondread.pipeline.steps.begin import Settings, begin, split_engine
from secondread.pipeline.success import recorded, write_success


def ingest(
    source: str, output: str, *, settings: Settings, source_fingerprint: str = "", client_code: str = ""
) -> dict[str, Any]:
    """Copy a source's images and write their manifest.

    Args:
        source: URI.
        output: folder to write.
        settings: further fields of `IngestConfig`, and those of `EngineConfig`.
        source_fingerprint: what the source's content was when the run was asked for; refused if it is another now.
        client_code: fingerprint of the library of whoever started the run; refused if this one is another.
    Returns:
        `images`, `rejected` and `classes`, as counts.
    """
    environment, folder = begin(), Path(output)
    with recorded("ingest", folder):
        check_code(client_code)
        engine, chosen = split_engine(settings, environment)
        result = run_ingest(
            from_mapping(IngestConfig, {"source": source, **chosen}),
            folder,
            patient_key=environment.patient_key_file,
            engine=engine,
            expected_fingerprint=source_fingerprint,
        )
        facts = {"images": sum(result.kept.values()), "rejected": dict(result.rejected), "classes": dict(result.kept)}
        write_success(folder, step="ingest", inputs={}, facts=facts)
    return facts
