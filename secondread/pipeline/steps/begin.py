"""What every step does first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secondread.config.environment import Environment
from secondread.logging import configure
from secondread.pipeline.orphan import end_with_runner

Settings = Mapping[str, Any]


def begin() -> Environment:
    """Read the environment and set logging up."""
    end_with_runner()
    environment = Environment.read()
    configure(as_json=environment.log_json)
    return environment
