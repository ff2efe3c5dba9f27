"""From a source to a stored folder of images and its manifest. Nothing but pixels and listed facts leaves the source.

images/ab/<sha256>.jpg   pixels without metadata, named by the hash of the stored bytes
manifest.parquet         one row an image that was kept: the columns of `secondread.data.manifest`, no file name
rejected.parquet         one row an image that was left out: its file name in the source, label and the reason
source.json              where it came from: URI, fingerprint, taxonomy

Ids of patients and studies leave as keyed hashes unless the source is public. File names of images that are left out
stand in rejected.parquet and the log, so that they can be found and mended; `IngestConfig.hide_names` replaces them.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from secondread.atomic import read_json, resumable_folder, write_json
from secondread.config.engine import EngineConfig
from secondread.config.ingest import IngestConfig
from secondread.data.cleaning.contradictions import join_near_duplicates
from secondread.data.cleaning.duplicates import mark_duplicates
from secondread.data.cleaning.picture_checks import PictureChecks
from secondread.data.engines.engine import open_engine
from secondread.data.engines.journal import Journal, resume_key
from secondread.data.manifest import MANIFEST_FILE, REJECTED_FILE, typed, write_manifest, write_rejected
from secondread.data.reading import OutgoingIds, read_images
from secondread.data.sources.names import examples_hidden, readable_name
from secondread.data.sources.open import local_path, open_source
from secondread.data.sources.source import Source
from secondread.errors import InputError, IntegrityError
from secondread.logging import get_logger
from secondread.taxonomy import Taxonomy

SOURCE_FILE = "source.json"
_SHOWN_HASH = 12  # hex digits; enough to find an image by its hash

log = get_logger(__name__)


@dataclass(frozen=True)
class IngestResult:
    """What ingest did.

    Attributes:
        kept: images by class.
        rejected: images left out, by reason.
        taxonomy: the classes of the images that were kept.
        fingerprint: of the source, hex.
        synthetic: the images are generated.
        patient_key: fingerprint of the key that patient ids are hashed with; empty where none was.
    """

    kept: Mapping[str, int]
    rejected: Mapping[str, int]
    taxonomy: Taxonomy
    fingerprint: str
    synthetic: bool
    patient_key: str = ""


def ingest(
    config: IngestConfig,
    output: Path,
    *,
    patient_key: Path | None = None,
    engine: EngineConfig = EngineConfig(),  # noqa: B008 - frozen
    expected_fingerprint: str = "",
) -> IngestResult:
    """Copy a source's images and write their manifest. A run that was cut is gone on with by the next one like it.

    Args:
        config: which source.
        output: folder to write; it appears whole or not at all. Images of another source that it holds are replaced
            by then; a line in the log says so before the work begins.
        patient_key: file of the secret that patient ids are hashed with; made on first use; needed where a source
            that is not public has patient ids.
        engine: what does the work; it changes nothing that is written.
        expected_fingerprint: what the source's content must be when all is read; empty: whatever it is at first.
    Raises:
        InputError: the source cannot be read, or no image of it can be used.
        IntegrityError: the source is not as expected.
    """
    source = open_source(config.source, modality=config.modality, public_ids=config.public_ids)
    local = local_path(source.uri)
    inputs = [local] if local else []
    if any(output.resolve().is_relative_to(path.resolve()) for path in inputs):
        raise InputError(f"{output} lies in the source {config.source}, which is not changed. Choose another folder.")
    taxonomy = source.taxonomy().with_urgency(urgent=config.urgent, routine=config.routine)
    fingerprint = expected_fingerprint or source.fingerprint()
    key = resume_key("ingest", fingerprint, asdict(config))
    with resumable_folder(output, marker=SOURCE_FILE, key=key, inputs=inputs) as folder:
        _tell_what_is_replaced(output, config, fingerprint)
        rows = _rows(source, folder, config, patient_key, engine)
        kept, left_out = rows[rows["reason"] == ""], _left_out(rows, hide_names=config.hide_names)
        if expected_fingerprint and source.fingerprint() != expected_fingerprint:
            raise IntegrityError(f"{config.source} changed while it was read. Run it again when it no longer changes.")
        write_manifest(typed(kept), folder / MANIFEST_FILE)
        write_rejected(left_out, folder / REJECTED_FILE)
        result = IngestResult(
            kept=dict(sorted(Counter(kept["label"]).items())),
            rejected=_by_reason(left_out["reason"]),
            taxonomy=taxonomy.restrict(kept["label"]),
            fingerprint=fingerprint,
            synthetic=source.synthetic,
            patient_key=max(kept.loc[kept["patient_id"] != "", "key"], default=""),
        )
        write_json(folder / SOURCE_FILE, _source_document(config, result))
        # last of all: until then a run that is cut goes on with every image that was read
        _remove_unused(folder, kept)
        Journal(folder).remove()
    for row in left_out[:20].itertuples():
        log.warning("left out %s: %s", row.name, row.reason)
    if unknown := [info.name for info in result.taxonomy.classes if info.urgency == "unknown"]:
        log.warning(
            "nobody said how urgent %s is, so that no reading of it is urgent or routine: say so in ingest.urgent or "
            "ingest.routine.",
            ", ".join(unknown),
        )
    return result


def _tell_what_is_replaced(output: Path, config: IngestConfig, fingerprint: str) -> None:
    """Say before the work begins that the folder holds another source's images; until it ends they stay."""
    if not (output / SOURCE_FILE).is_file():
        return
    try:
        earlier = read_json(output / SOURCE_FILE)
        uri, known, images = earlier["uri"], earlier["fingerprint"], sum(earlier["kept"].values())
    except (IntegrityError, KeyError, TypeError, AttributeError):
        return  # damaged: nobody can use them
    if config.source != uri and fingerprint != known:
        log.warning(
            "%s holds %s images of %s, which those of %s will replace. To keep them, stop now and name another folder.",
            output,
            f"{images:,}",
            readable_name(uri),
            readable_name(config.source),
        )


def _rows(
    source: Source, folder: Path, config: IngestConfig, patient_key: Path | None, engine: EngineConfig
) -> pd.DataFrame:
    """Every image of the source, with a `reason` where it is left out.

    Raises:
        InputError: all of them are.
    """
    ids = OutgoingIds(public=source.public or config.public_ids, key_file=patient_key)
    checks = PictureChecks(config.min_side_pixels, config.min_contrast)
    with open_engine(engine) as running:
        with examples_hidden(config.hide_names):
            images = list(source.images())
        rows = read_images(images, folder, checks, ids=ids, engine=running, hide_names=config.hide_names)
    rows = join_near_duplicates(mark_duplicates(rows), folder, config)
    if (rows["reason"] != "").all():
        reasons = ", ".join(f"{count} {reason}" for reason, count in _by_reason(rows["reason"]).items())
        raise InputError(f"{config.source}: none of its {len(rows)} images can be used ({reasons}). Mend the source.")
    return rows


def _remove_unused(folder: Path, kept: pd.DataFrame) -> None:
    """Remove copies of what is left out, and what a worker that was killed had half written."""
    used = set(kept["path"])
    for top in (folder / "images").iterdir():
        for entry in os.scandir(top):
            if f"images/{top.name}/{entry.name}" not in used:
                Path(entry).unlink()


def _left_out(rows: pd.DataFrame, *, hide_names: bool) -> pd.DataFrame:
    """The record of what was left out; a hidden name is the start of the hash, else the image's number."""
    rejected = rows[rows["reason"] != ""]
    if hide_names:
        numbers = (f"image {number} of the source" for number in rejected.index + 1)
        hashes = rejected["image_id"].str.slice(0, _SHOWN_HASH)
        rejected = rejected.assign(name=[shown or number for shown, number in zip(hashes, numbers, strict=True)])
    return rejected


def _by_reason(reasons: Iterable[str]) -> dict[str, int]:
    """Counts by the reason without its details in brackets."""
    return dict(sorted(Counter(reason.split(" (")[0].rstrip(".") for reason in reasons).items()))


def _source_document(config: IngestConfig, result: IngestResult) -> dict[str, Any]:
    return {
        "uri": config.source,
        "fingerprint": result.fingerprint,
        "synthetic": result.synthetic,
        "patient_key": result.patient_key,
        "kept": dict(result.kept),
        "rejected": dict(result.rejected),
        "taxonomy": result.taxonomy.to_dict(),
    }
