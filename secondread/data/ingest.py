"""From a source to a stored folder of images and its manifest. Nothing but pixels and listed facts leaves the source.

images/ab/<sha256>.jpg   pixels without metadata, named by the hash of the stored bytes
manifest.parquet         one row an image that was kept: the columns of `secondread.data.manifest`, no file name
rejected.parquet         one row an image that was left out: its file name in the source, label and the reason
source.json              where it came from: URI, fingerprint, taxonomy

Ids of patients and studies leave as keyed hashes unless the source is public. File names of images that are left out
stand in rejected.parquet and the log, so that they can be found and mended; `IngestConfig.hide_names` replaces them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from secondread.atomic import atomic_folder, write_json
from secondread.config.ingest import IngestConfig
from secondread.cpus import cpu_limit
from secondread.data.contradictions import join_near_duplicates
from secondread.data.duplicates import sort_out
from secondread.data.intake import StoredImage, store_image
from secondread.data.manifest import MANIFEST_FILE, REJECTED_FILE, typed, write_manifest, write_rejected
from secondread.data.patients import PatientHasher
from secondread.data.picture_checks import PictureChecks
from secondread.data.sources.open import local_path, open_source
from secondread.data.sources.source import Source
from secondread.errors import InputError
from secondread.logging import get_logger
from secondread.progress import track
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


def ingest(config: IngestConfig, output: Path, *, patient_key: Path | None = None) -> IngestResult:
    """Copy a source's images and write their manifest.

    Args:
        config: which source.
        output: folder to write; it appears whole or not at all.
        patient_key: file of the secret that patient ids are hashed with; made on first use; needed where a source
            that is not public has patient ids.
    Raises:
        InputError: the source cannot be read, or no image of it can be used.
    """
    source = open_source(config.source, modality=config.modality, public_ids=config.public_ids)
    local = local_path(source.uri)
    inputs = [local] if local else []
    if any(output.resolve().is_relative_to(path.resolve()) for path in inputs):
        raise InputError(f"{output} lies in the source {config.source}, which is not changed. Choose another folder.")
    with atomic_folder(output, marker=SOURCE_FILE, inputs=inputs) as folder:
        stored = _store_all(source, folder, PictureChecks(config.min_side_pixels, config.min_contrast))
        kept, rejected = sort_out(stored)
        kept, contradicting = join_near_duplicates(kept, folder, config)
        rejected += contradicting
        if not kept:
            reasons = ", ".join(f"{count} {reason}" for reason, count in _by_reason(rejected).items())
            raise InputError(
                f"{config.source}: none of its {len(stored)} images can be used ({reasons}). Mend the source."
            )
        _remove_unused(folder, kept)
        hasher = None if source.public or config.public_ids else _hasher(kept, patient_key)
        write_manifest(typed(pd.DataFrame([_manifest_row(item, hasher) for item in kept])), folder / MANIFEST_FILE)
        left_out = _rejected_rows(stored, rejected, hide_names=config.hide_names)
        write_rejected(left_out, folder / REJECTED_FILE)
        result = IngestResult(
            kept=dict(sorted(Counter(item.image.label for item in kept).items())),
            rejected=_by_reason(rejected),
            taxonomy=source.taxonomy().restrict(item.image.label for item in kept),
            fingerprint=source.fingerprint(),
            synthetic=source.synthetic,
            patient_key=hasher.fingerprint if hasher and any(item.image.patient_id for item in kept) else "",
        )
        write_json(folder / SOURCE_FILE, _source_document(config, result))
    for row in left_out[:20]:
        log.warning("left out %s: %s", row["name"], row["reason"])
    return result


def _store_all(source: Source, folder: Path, checks: PictureChecks) -> list[StoredImage]:
    images = list(source.images())
    with ThreadPoolExecutor(cpu_limit()) as pool:  # reading and decoding release the interpreter lock
        results = pool.map(partial(store_image, folder=folder, checks=checks), images)
        return list(track(results, "reading images", total=len(images)))


def _remove_unused(folder: Path, kept: list[StoredImage]) -> None:
    used = {item.row["path"] for item in kept}
    for path in (folder / "images").rglob("*.*"):
        if path.relative_to(folder).as_posix() not in used:
            path.unlink()


def _hasher(kept: list[StoredImage], patient_key: Path | None) -> PatientHasher | None:
    """None where no image has an id that must not leave as it is."""
    if not any((item.image.patient_id or item.image.study_id) and not item.image.public_ids for item in kept):
        return None
    if patient_key is None:
        raise InputError("this source has patient ids, which leave it only hashed. Name a patient key file.")
    return PatientHasher.from_file(patient_key)


def _manifest_row(item: StoredImage, hasher: PatientHasher | None) -> dict[str, Any]:
    image = item.image
    names = ("label", "modality", "source", "site", "license", "sex", "view", "acquired_at", "original_split")
    known = {name: getattr(image, name) for name in names}
    ids = {"patient_id": image.patient_id, "study_id": image.study_id}
    if hasher is not None and not image.public_ids:
        ids = {name: hasher.hash(value) for name, value in ids.items()}
    return item.row | known | ids | {"age": image.age}


def _rejected_rows(stored: list[StoredImage], rejected: list[StoredImage], *, hide_names: bool) -> list[dict[str, str]]:
    """The record of what was left out; a hidden name is the start of the hash, else the image's number."""
    number = {item.image.name: number for number, item in enumerate(stored, start=1)}
    rows = []
    for item in rejected:
        name = item.image.name
        if hide_names:
            name = item.image_id[:_SHOWN_HASH] or f"image {number[name]} of the source"
        known = {"name": name, "label": item.image.label, "image_id": item.image_id, "reason": item.reason}
        known |= {column: item.row.get(column, "") for column in ("pixel_hash", "cluster_id")}
        rows.append(known | {"source": item.image.source, "original_split": item.image.original_split})
    return rows


def _by_reason(rejected: list[StoredImage]) -> dict[str, int]:
    """Counts by the reason without its details in brackets."""
    return dict(sorted(Counter(item.reason.split(" (")[0].rstrip(".") for item in rejected).items()))


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
