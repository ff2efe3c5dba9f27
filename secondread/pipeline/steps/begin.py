"""What every step does first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from secondread.config.engine import EngineConfig
from secondread.config.environment import Environment
from secondread.config.mapping import from_mapping
from secondread.errors import InputError
from secondread.logging import configure
from secondread.pipeline.orphan import end_with_runner

Settings = Mapping[str, Any]


def begin() -> Environment:
    """Read the environment and set logging up."""
    end_with_runner()
    environment = Environment.read()
    configure(as_json=environment.log_json)
    return environment


def stated(text: str, stage: str) -> Settings:
    """Settings that a pipeline passes as a JSON text, since KFP's own mappings know no null.

    Args:
        text: as it was passed; empty for none.
        stage: what they are of, for errors.
    Raises:
        InputError: it is no JSON mapping.
    """
    try:
        settings = json.loads(text or "{}")
    except json.JSONDecodeError as error:
        raise InputError(f"{stage} must be JSON, such as {{}}: {error}") from error
    if not isinstance(settings, dict):
        raise InputError(f"{stage} must be a JSON mapping of settings, such as {{}}, not {text[:40]}.")
    return settings


def split_engine(settings: Settings, environment: Environment) -> tuple[EngineConfig, Settings]:
    """What does the work, told apart from what is done."""
    names = {field.name for field in fields(EngineConfig)}
    default = {"engine": environment.engine, "ray_address": environment.ray_address}
    chosen = {key: settings[key] for key in names & set(settings)}
    engine = from_mapping(EngineConfig, default | chosen, stage="")  # people give it as of either step
    return engine, {key: settings[key] for key in settings if key not in names}
