"""Reads a policy from a `rollout.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from secondread.config.mapping import from_mapping
from secondread.config.rollout import RolloutConfig
from secondread.errors import InputError


def read_policy(path: Path | str) -> RolloutConfig:
    """Read a policy: a mapping of `RolloutConfig`'s fields, of which what is not stated has its default.

    Raises:
        InputError: the file is missing, is no YAML mapping, or has a key or value that is no setting.
    """
    try:
        document: Any = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read the rollout policy {path}: {error.strerror}. Name a rollout.yaml.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"the rollout policy {path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict | None):
        raise InputError(f"the rollout policy {path} must map settings to values, such as 'deadline_seconds: 86400'.")
    try:
        return from_mapping(RolloutConfig, document or {}, stage="")
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
