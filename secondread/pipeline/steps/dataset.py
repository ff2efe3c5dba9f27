"""The dataset version that a step works on, whichever step made it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from secondread.atomic import read_json
from secondread.pipeline.success import SUCCESS_FILE, verify_success


def verify_dataset(folder: Path) -> dict[str, Any]:
    """Check a dataset version as `verify_success` does.

    Args:
        folder: what step `preprocess` wrote, or `fetch` of the retraining pipeline.
    Returns:
        The facts of its success manifest.
    Raises:
        IntegrityError: as of `verify_success`.
    """
    manifest = folder / SUCCESS_FILE
    fetched = manifest.is_file() and read_json(manifest).get("step") == "fetch"
    return verify_success(folder, step="fetch" if fetched else "preprocess")
