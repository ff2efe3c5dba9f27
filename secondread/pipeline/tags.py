"""What the registry is told of a version, as text: see `secondread.tracking.registry`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from secondread.config.environment import Environment
from secondread.model.folder import ModelFolder
from secondread.pipeline.code import code_fingerprint, git_revision


def model_tags(model: ModelFolder, environment: Environment) -> dict[str, str]:
    """Tags of any model, whoever registers it."""
    return {
        "dataset_version": model.config.dataset_version,
        "graph": model.config.graph,
        "synthetic": str(model.config.synthetic).lower(),
        "code_fingerprint": code_fingerprint(),
        "git_revision": git_revision(environment),
        "registered_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def verdict_tags(verdict: Mapping[str, Any]) -> dict[str, str]:
    """Tags of a model that passed its gate.

    Args:
        verdict: facts of the evaluate step on test.
    """
    figures = {
        f"gate.{name}": f"{figure['value']:.6f}"
        for name, figure in verdict["metrics"].items()
        if figure["value"] is not None
    }
    return {**figures, "registered_by": "pipeline train", "registered_because": "; ".join(verdict["reasons"])}
