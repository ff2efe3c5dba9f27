"""Step: a registered version, and that what is in its repository is what somebody signed whom we trust."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from secondread.pipeline.code import check_code
from secondread.pipeline.steps.begin import begin
from secondread.pipeline.success import recorded, write_success


def verify(output: str, *, name: str, which: str, client_code: str = "") -> dict[str, Any]:
    """Look a version up, read its repository, and check signature and digest.

    Args:
        output: folder to write; it holds the record alone.
        name: of the model.
        which: version number or alias in the registry.
        client_code: fingerprint of the library of whoever started the run; refused if this one is another.
    Returns:
        `name`, `version`, `digest`, `storage_uri`, and `signed_by`, the key's fingerprint.
    """
    from secondread.tracking.promotion import signer
    from secondread.tracking.registry import Registry

    environment, folder = begin(), Path(output)
    with recorded("verify", folder):
        check_code(client_code)
        found = Registry(environment.mlflow_tracking_uri).get(name, which)
        facts = {
            "name": name,
            "version": found.version,
            "digest": found.digest,
            "storage_uri": found.storage_uri,
            "signed_by": signer(found, environment),
        }
        folder.mkdir(parents=True, exist_ok=True)
        write_success(folder, step="verify", inputs={}, facts=facts)
    return facts
