"""Reads a policy from a `rollout.yaml`."""

from __future__ import annotations

from pathlib import Path

from secondread.config.document import read_mapping
from secondread.config.mapping import from_mapping
from secondread.config.rollout import RolloutConfig
from secondread.errors import InputError


def read_policy(path: Path | str) -> RolloutConfig:
    """Read a policy: a mapping of `RolloutConfig`'s fields, of which what is not stated has its default.

    Raises:
        InputError: the file is missing, is no YAML mapping, or has a key or value that is no setting.
    """
    document = read_mapping(path, what="rollout policy", example="deadline_seconds: 86400")
    try:
        return from_mapping(RolloutConfig, document, stage="")
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
