"""From ingested images to a dataset version: pixels, groups, splits, and a name made of the content."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from secondread.atomic import atomic_folder, read_json, sha256_bytes, write_json
from secondread.config import PreprocessConfig
from secondread.cpus import cpu_limit
from secondread.data.dataset import DATASET_FILE, DatasetVersion, shard_file
from secondread.data.ingest import SOURCE_FILE
from secondread.data.manifest import MANIFEST_FILE, SPLITS, read_manifest, write_manifest
from secondread.data.preprocess import Preprocessing, preprocess
from secondread.data.split import assign_splits, check_disjoint, split_counts
from secondread.errors import InputError, IntegrityError
from secondread.progress import track
from secondread.taxonomy import Taxonomy


def write_dataset_version(ingested: Path, output: Path, config: PreprocessConfig) -> DatasetVersion:
    """Preprocess ingested images, split them and write a dataset version.

    Args:
        ingested: folder that `ingest` wrote.
        output: folder to write; it appears whole or not at all.
        config: image size and split.
    Raises:
        InputError: fewer than two classes, or a class that is too small to split.
        IntegrityError: a stored image is missing or changed.
    """
    source = read_json(ingested / SOURCE_FILE)
    rows = read_manifest(ingested / MANIFEST_FILE)
    taxonomy = Taxonomy.from_dict(source["taxonomy"])
    if len(taxonomy.names) < 2:
        raise InputError(
            f"{source['uri']} has the single class '{taxonomy.names[0]}': a classifier needs at least two."
        )
    spec = Preprocessing(size=config.image_size)
    pixels = _pixels(ingested, rows, spec)
    rows["group_id"] = group_ids(rows)
    rows["split"] = assign_splits(rows, config)
    check_disjoint(rows)
    content_hash = _content_hash(rows, pixels, taxonomy, spec)
    with atomic_folder(output, marker=DATASET_FILE, inputs=[ingested]) as folder:
        ordered = _write_shards(folder, rows, pixels)
        write_manifest(ordered, folder / MANIFEST_FILE)
        document = {
            "content_hash": content_hash,
            "parent": "",
            "synthetic": source["synthetic"],
            "preprocessing": spec.to_dict(),
            "taxonomy": taxonomy.to_dict(),
            "counts": split_counts(rows),
            "source": {"uri": source["uri"], "fingerprint": source["fingerprint"], "rejected": source["rejected"]},
        }
        write_json(folder / DATASET_FILE, document)
    return DatasetVersion.open(output)


def group_ids(rows: pd.DataFrame) -> pd.Series:
    """What must stay together: the patient, else the picture; and patients who share a picture.

    Args:
        rows: columns `patient_id`, empty where it is not known, and `pixel_hash`.
    """
    alone = "pixels-" + rows["pixel_hash"].str.slice(0, 32)
    own = ("patient-" + rows["patient_id"]).where(rows["patient_id"] != "", alone)
    group, names = pd.factorize(own, sort=True)
    picture, pictures = pd.factorize(rows["pixel_hash"])
    links = coo_array(
        (np.ones(len(rows)), (group, len(names) + picture)), shape=(len(names) + len(pictures),) * 2
    )  # groups and pictures are the nodes of a graph, and every row is an edge
    _, cluster = connected_components(links, directed=False)
    first = pd.Series(names).groupby(cluster[: len(names)]).first()  # of the sorted names
    return pd.Series(first.loc[cluster[group]].to_numpy(), index=rows.index, dtype="string")


def _pixels(ingested: Path, rows: pd.DataFrame, spec: Preprocessing) -> npt.NDArray[np.uint8]:
    """uint8 (images, size, size) in the order of the rows."""
    with ThreadPoolExecutor(cpu_limit()) as pool:
        images = pool.map(partial(_read, ingested, spec), rows["path"])
        return np.stack(list(track(images, "preprocessing", total=len(rows))))


def _read(ingested: Path, spec: Preprocessing, path: str) -> npt.NDArray[np.uint8]:
    try:
        data = (ingested / path).read_bytes()
    except OSError as error:
        raise IntegrityError(f"{ingested / path} is missing ({error.strerror}). Ingest the source again.") from error
    if sha256_bytes(data) != Path(path).stem:
        raise IntegrityError(f"{ingested / path} has changed since it was ingested. Ingest the source again.")
    return preprocess(data, spec)


def _write_shards(folder: Path, rows: pd.DataFrame, pixels: npt.NDArray[np.uint8]) -> pd.DataFrame:
    """Write one memory-mappable array a split and give the rows in the order of the pixels.

    Within a split the order is that of the pixel hash: it mixes classes and does not depend on the source's order.
    """
    parts = []
    for split in SPLITS:
        part = rows[rows["split"] == split].sort_values(["pixel_hash", "image_id"])
        if len(part):
            np.save(folder / shard_file(split), pixels[part.index.to_numpy()], allow_pickle=False)
            parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _content_hash(rows: pd.DataFrame, pixels: npt.NDArray[np.uint8], taxonomy: Taxonomy, spec: Preprocessing) -> str:
    """SHA-256, hex, over everything that a model could learn from, whatever the order of the rows."""
    known = rows[["image_id", "label", "group_id", "split"]].itertuples(index=False, name=None)
    lines = sorted("\t".join([*row, sha256_bytes(image.tobytes())]) for row, image in zip(known, pixels, strict=True))
    head = json.dumps({"taxonomy": taxonomy.to_dict(), "preprocessing": spec.to_dict()}, sort_keys=True)
    return hashlib.sha256("\n".join([head, *lines]).encode()).hexdigest()
