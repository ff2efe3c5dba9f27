"""Step: from the URI of a child version to the dataset that a champion is trained further on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from secondread.config.environment import Environment
from secondread.data.store.lookup import open_version
from secondread.data.versions.copy import copy_version
from secondread.data.versions.dataset import DatasetVersion
from secondread.data.versions.inherited import check_inherited_test
from secondread.errors import IntegrityError
from secondread.pipeline.code import check_code
from secondread.pipeline.steps.begin import begin
from secondread.pipeline.success import recorded, write_success


def fetch(
    dataset: str,
    output: str,
    *,
    content_hash: str = "",
    parent: str,
    parent_version: str = "",
    client_code: str = "",
) -> dict[str, Any]:
    """Copy a child version, if its test split is its parent's.

    Args:
        dataset: URI of the child.
        output: folder to write.
        content_hash: of the child when the run was asked for; refused if it is another now.
        parent: URI of the version that it grew from.
        parent_version: likewise, of the parent.
        client_code: fingerprint of the library of whoever started the run; refused if this one is another.
    Returns:
        `dataset_version`, `content_hash`, `parent` and `counts` by split and class.
    """
    environment, folder = begin(), Path(output)
    with recorded("fetch", folder):
        check_code(client_code)
        child = _open(dataset, content_hash, environment)
        grown_from = _open(parent, parent_version, environment)
        check_inherited_test(child, grown_from)
        copy_version(child, folder)
        facts = {
            "dataset_version": child.name,
            "content_hash": child.content_hash,
            "parent": grown_from.content_hash,
            "counts": child.counts,
            "synthetic": child.synthetic,
        }
        write_success(folder, step="fetch", inputs={}, facts=facts)
    return facts


def _open(uri: str, content_hash: str, environment: Environment) -> DatasetVersion:
    version = open_version(uri, environment)
    if content_hash and version.content_hash != content_hash:
        raise IntegrityError(f"{uri} is another dataset version by now ({version.name}). Start the run again.")
    return version
