"""From a source to a stored folder of images and its manifest. Nothing but pixels and listed facts leaves the source.

images/ab/<sha256>.jpg   named by the hash of the stored bytes, so that a file name says nothing of a patient
manifest.parquet         one row an image that was kept
rejected.parquet         one row an image that was left out, with the reason
source.json              where it came from: URI, fingerprint, taxonomy
"""

from __future__ import annotations

import io
from collections import Counter, defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from secondread.atomic import atomic_folder, sha256_bytes, write_json
from secondread.config import IngestConfig
from secondread.cpus import cpu_limit
from secondread.data.decode import DecodeLimits, decode
from secondread.data.manifest import MANIFEST_FILE, REJECTED_FILE, typed, write_manifest, write_rejected
from secondread.data.patients import PatientHasher
from secondread.data.sources.open import open_source
from secondread.data.sources.source import Source, SourceImage
from secondread.errors import ImageError, InputError, TooLargeError
from secondread.logging import get_logger
from secondread.progress import track
from secondread.taxonomy import Taxonomy

SOURCE_FILE = "source.json"

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
    """

    kept: Mapping[str, int]
    rejected: Mapping[str, int]
    taxonomy: Taxonomy
    fingerprint: str
    synthetic: bool


@dataclass(frozen=True)
class _Stored:
    """One image after reading: either a manifest row or a reason."""

    image: SourceImage
    row: dict[str, Any]
    reason: str = ""


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
    with atomic_folder(output) as folder:
        stored = _store_all(source, folder, config.max_file_bytes)
        kept, rejected = _sort_out(stored)
        if not kept:
            reasons = ", ".join(f"{count} {reason}" for reason, count in _by_reason(rejected).items())
            raise InputError(
                f"{config.source}: none of its {len(stored)} images can be used ({reasons}). Mend the source."
            )
        _remove_unused(folder, kept)
        rows = _manifest_rows(kept, public=source.public, patient_key=patient_key)
        write_manifest(typed(pd.DataFrame(rows)), folder / MANIFEST_FILE)
        write_rejected([_rejected_row(item) for item in rejected], folder / REJECTED_FILE)
        result = IngestResult(
            kept=dict(sorted(Counter(item.image.label for item in kept).items())),
            rejected=_by_reason(rejected),
            taxonomy=source.taxonomy().restrict(item.image.label for item in kept),
            fingerprint=source.fingerprint(),
            synthetic=source.synthetic,
        )
        write_json(folder / SOURCE_FILE, _source_document(config, result))
    for item in rejected[:20]:
        log.warning("left out %s: %s", item.image.name, item.reason)
    return result


def _store_all(source: Source, folder: Path, max_file_bytes: int) -> list[_Stored]:
    images = list(source.images())
    limits = DecodeLimits(max_bytes=max_file_bytes)
    with ThreadPoolExecutor(cpu_limit()) as pool:  # reading and decoding release the interpreter lock
        results = pool.map(lambda image: _store(image, folder, limits), images)
        return list(track(results, "reading images", total=len(images)))


def _store(image: SourceImage, folder: Path, limits: DecodeLimits) -> _Stored:
    """Read, check and copy one image."""
    try:
        data = image.read()
        grey = decode(data, limits=limits)
    except (ImageError, TooLargeError) as error:
        return _Stored(image, {}, str(error))
    except OSError as error:
        return _Stored(image, {}, f"cannot be read ({error.strerror}).")
    suffix, content = ".jpg" if data.startswith(b"\xff\xd8") else ".png", data
    if not data.startswith((b"\xff\xd8", b"\x89PNG")):
        # a DICOM file is full of names and dates: only its pixels are kept
        buffer = io.BytesIO()
        Image.fromarray(grey).save(buffer, format="PNG", compress_level=1)
        content = buffer.getvalue()
    name = sha256_bytes(content)
    path = folder / "images" / name[:2] / f"{name}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    row = {"image_id": sha256_bytes(data), "path": path.relative_to(folder).as_posix()}
    return _Stored(image, row | {"width": grey.shape[1], "height": grey.shape[0]})


def _sort_out(stored: list[_Stored]) -> tuple[list[_Stored], list[_Stored]]:
    """Leave out what could not be read, what stands under two labels, and the second copy of a file."""
    labels = defaultdict(set)
    for item in stored:
        if item.row:
            labels[item.row["image_id"]].add(item.image.label)
    kept, rejected, seen = [], [], set()
    for item in stored:
        image_id = item.row.get("image_id", "")
        reason = item.reason
        if not reason and len(labels[image_id]) > 1:
            reason = f"stands under two labels ({', '.join(sorted(labels[image_id]))})."
        elif not reason and image_id in seen:
            reason = "is a copy of another file."
        seen.add(image_id)
        if reason:
            rejected.append(_Stored(item.image, item.row, reason))
        else:
            kept.append(item)
    return kept, rejected


def _remove_unused(folder: Path, kept: list[_Stored]) -> None:
    used = {item.row["path"] for item in kept}
    for path in (folder / "images").rglob("*.*"):
        if path.relative_to(folder).as_posix() not in used:
            path.unlink()


def _manifest_rows(kept: list[_Stored], *, public: bool, patient_key: Path | None) -> list[dict[str, Any]]:
    hasher = None
    if not public and any(item.image.patient_id or item.image.study_id for item in kept):
        if patient_key is None:
            raise InputError("this source has patient ids, which leave it only hashed. Name a patient key file.")
        hasher = PatientHasher.from_file(patient_key)
    return [_manifest_row(item, hasher) for item in kept]


def _manifest_row(item: _Stored, hasher: PatientHasher | None) -> dict[str, Any]:
    image = item.image
    names = ("label", "modality", "source", "site", "license", "sex", "view", "acquired_at")
    known = {name: getattr(image, name) for name in names}
    ids = {"patient_id": image.patient_id, "study_id": image.study_id}
    if hasher is not None:
        ids = {name: hasher.hash(value) for name, value in ids.items()}
    return item.row | known | ids | {"age": image.age}


def _rejected_row(item: _Stored) -> dict[str, str]:
    image_id = item.row.get("image_id", "")
    return {"name": item.image.name, "label": item.image.label, "image_id": image_id, "reason": item.reason}


def _by_reason(rejected: list[_Stored]) -> dict[str, int]:
    """Counts by the reason without its details in brackets."""
    return dict(sorted(Counter(item.reason.split(" (")[0].rstrip(".") for item in rejected).items()))


def _source_document(config: IngestConfig, result: IngestResult) -> dict[str, Any]:
    return {
        "uri": config.source,
        "fingerprint": result.fingerprint,
        "synthetic": result.synthetic,
        "kept": dict(result.kept),
        "rejected": dict(result.rejected),
        "taxonomy": result.taxonomy.to_dict(),
    }
