"""From ingested images to a dataset version: pixels, groups, splits, and a name made of the content."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from secondread.atomic import read_json, resumable_folder, sha256_bytes, sha256_file, write_json
from secondread.config.engine import EngineConfig
from secondread.config.preprocess import PreprocessConfig
from secondread.data.engines.engine import open_engine
from secondread.data.engines.journal import Journal, resume_key, work_through
from secondread.data.ingest import SOURCE_FILE
from secondread.data.manifest import (
    MANIFEST_FILE,
    REJECTED_FILE,
    read_manifest,
    write_manifest,
    write_rejected,
)
from secondread.data.pixels.preprocess import Preprocessing, preprocess
from secondread.data.versions.dataset import DATASET_FILE, DatasetVersion
from secondread.data.versions.lineage import check_parent, check_patients, child_taxonomy, inherit
from secondread.data.versions.shards import ShardPart, create_shards, in_shard_order, read_part, shard_parts, write_part
from secondread.data.versions.split import assign_splits, check_disjoint, split_counts
from secondread.errors import InputError, IntegrityError
from secondread.logging import get_logger
from secondread.taxonomy import Taxonomy

_log = get_logger(__name__)


def write_dataset_version(
    ingested: Path,
    output: Path,
    config: PreprocessConfig,
    parent: DatasetVersion | None = None,
    *,
    engine: EngineConfig = EngineConfig(),  # noqa: B008 - frozen
) -> DatasetVersion:
    """Preprocess ingested images, split them and write a dataset version. A run that was cut is gone on with.

    Args:
        ingested: folder that `ingest` wrote.
        output: folder to write; it appears whole or not at all.
        config: image size and split.
        parent: the version that this one grows from. Its images, pictures and patients keep their splits, and new
            groups fill what is below its share. Images that would join groups of different splits are left out, and
            recorded in rejected.parquet; images that the source has no more are not in the new version.
        engine: what does the work; it changes nothing that is written.
    Raises:
        InputError: fewer than two classes, a class that is too small to split, or a parent that does not fit.
        IntegrityError: a stored image is missing or changed.
    """
    if not (ingested / SOURCE_FILE).is_file():
        raise InputError(
            f"{ingested} holds no ingested images (no {SOURCE_FILE}). Run data ingest, or name its output."
        )
    source = read_json(ingested / SOURCE_FILE)
    rows = read_manifest(ingested / MANIFEST_FILE)
    taxonomy = Taxonomy.from_dict(source["taxonomy"])
    if len(taxonomy.names) < 2:
        raise InputError(
            f"{source['uri']} has the single class '{taxonomy.names[0]}': a classifier needs at least two. "
            "Put each class into a folder of its name, or merge sources in a .yaml."
        )
    spec = Preprocessing(size=config.image_size, contrast=config.contrast, trim_borders=config.trim_borders)
    if parent is not None:
        check_parent(parent, spec, synthetic=source["synthetic"])
        check_patients(rows, source.get("patient_key", ""), parent)
        taxonomy = child_taxonomy(taxonomy, parent)
    kept = inherit(rows, parent)
    rows = kept.rows
    rows["split"] = assign_splits(rows, config, kept.splits)
    check_disjoint(rows)
    rows = in_shard_order(rows)
    files = [sha256_file(ingested / name) for name in (SOURCE_FILE, MANIFEST_FILE)]
    key = resume_key("preprocess", files, asdict(config), parent.content_hash if parent else "")
    inputs = [ingested, *([parent.root] if parent else [])]
    with resumable_folder(output, marker=DATASET_FILE, key=key, inputs=inputs) as folder:
        digests = _write_pixels(ingested.resolve(), rows, folder, spec=spec, engine=engine)
        write_manifest(rows, folder / MANIFEST_FILE)
        if len(kept.left_out):
            _write_left_out(kept.left_out, folder)
        name = content_hash(rows, digests, taxonomy, spec)
        document = {
            "content_hash": name,
            "parent": parent_hash(parent, name),
            "synthetic": source["synthetic"],
            "patient_key": source.get("patient_key", ""),
            "preprocessing": spec.to_dict(),
            "taxonomy": taxonomy.to_dict(),
            "counts": split_counts(rows),
            "left_out": {str(reason): int(n) for reason, n in kept.left_out["reason"].value_counts().items()},
            "source": {"uri": source["uri"], "fingerprint": source["fingerprint"], "rejected": source["rejected"]},
        }
        write_json(folder / DATASET_FILE, document)
        Journal(folder).remove()  # last of all: until then a run that is cut goes on with every image
    del rows, kept  # opening reads the manifest, and two of them at once would be the most memory that this takes
    return DatasetVersion.open(output)


def parent_hash(parent: DatasetVersion | None, child: str) -> str:
    """What is written as the parent of a version; one that turns out the same as its parent is no child of itself."""
    if parent is None:
        return ""
    return parent.parent if parent.content_hash == child else parent.content_hash


def _write_left_out(rows: pd.DataFrame, folder: Path) -> None:
    """Record them. A version knows no file names, so the start of the image's hash stands for one."""
    for reason, count in rows["reason"].value_counts().items():
        _log.warning("%d image(s) left out: %s", count, reason)
    record = [
        {
            "name": str(row.image_id)[:12],
            "label": str(row.label),
            "image_id": str(row.image_id),
            "reason": str(row.reason),
        }
        for row in rows.itertuples()
    ]
    write_rejected(record, folder / REJECTED_FILE)


def _write_pixels(
    ingested: Path, rows: pd.DataFrame, folder: Path, *, spec: Preprocessing, engine: EngineConfig
) -> list[str]:
    """Write the shards; SHA-256, hex, of each image's pixels, in the order of the rows."""
    create_shards(folder, rows, spec.size)
    with open_engine(engine) as running:
        documents = work_through(
            running,
            partial(_preprocessed, ingested=ingested, spec=spec),
            shard_parts(rows, spec.size),
            Journal(folder),
            finish=partial(write_part, folder),
            is_whole=lambda part, digests: read_part(folder, part, spec.size) == digests,
            description="preprocessing",
        )
        return [digest for document in documents for digest in document]


def _preprocessed(part: ShardPart, *, ingested: Path, spec: Preprocessing) -> npt.NDArray[np.uint8]:
    """uint8 (images, size, size), in the order of the part."""
    return np.stack([_read(ingested, spec, path) for path in part.paths])


def _read(ingested: Path, spec: Preprocessing, path: str) -> npt.NDArray[np.uint8]:
    try:
        data = (ingested / path).read_bytes()
    except OSError as error:
        raise IntegrityError(
            f"{ingested / path} cannot be read on {socket.gethostname()} ({error.strerror}). Ingest the source again; "
            "where several machines do the work, all need this folder under the same path."
        ) from error
    if sha256_bytes(data) != Path(path).stem:
        raise IntegrityError(f"{ingested / path} has changed since it was ingested. Ingest the source again.")
    return preprocess(data, spec)


def content_hash(rows: pd.DataFrame, digests: Iterable[str], taxonomy: Taxonomy, spec: Preprocessing) -> str:
    """SHA-256, hex, over everything that a model could learn from, whatever the order of the rows.

    Who the patients are is not in it, only which images are one group; so every installation gives the same name to the
    same images, whatever its secret patient key.

    Args:
        rows: columns `image_id`, `label`, `group_id` (as `group_ids` names it), `split`.
        digests: SHA-256, hex, of each image's preprocessed pixels, in the order of the rows.
        taxonomy: classes in order.
        spec: how the pixels came about.
    """
    known = rows[["image_id", "label", "group_id", "split"]].itertuples(index=False, name=None)
    lines = sorted("\t".join([*row, digest]) for row, digest in zip(known, digests, strict=True))
    head = json.dumps({"taxonomy": taxonomy.to_dict(), "preprocessing": spec.to_dict()}, sort_keys=True)
    return hashlib.sha256("\n".join([head, *lines]).encode()).hexdigest()
