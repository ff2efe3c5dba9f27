"""What the registry is told of a version, and MLflow of a training run, as text: see `secondread.tracking`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import secondread
from secondread.config.environment import Environment
from secondread.data.versions.dataset import DatasetVersion
from secondread.model.folder import ModelFolder
from secondread.pipeline.code import code_fingerprint, git_revision
from secondread.tracking.gate_tags import MODEL_CARD, gate_tags, line_tags


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


def run_tags(version: DatasetVersion, environment: Environment) -> dict[str, str]:
    """Tags of a training run: what it is made of."""
    data = {"dataset_version": version.content_hash, "synthetic": str(version.synthetic).lower()}
    return data | code_tags(environment)


def code_tags(environment: Environment) -> dict[str, str]:
    """Tags of any run: which code. What no git knows is named by the library's version."""
    revision = git_revision(environment) or f"secondread {secondread.__version__}"
    run = {"pipeline_run": environment.pipeline_run} if environment.pipeline_run else {}
    return {"git_revision": revision, **run}


def verdict_tags(verdict: Mapping[str, Any], *, card: str = "") -> dict[str, str]:
    """Tags of a model that passed its gate.

    Args:
        verdict: facts of the evaluate step on test.
        card: URI of the model card with that evaluation; empty where MLflow has none.
    """
    reasons = "; ".join(verdict["reasons"])
    where = {MODEL_CARD: card} if card else {}
    return {**gate_tags(verdict), **where, "registered_by": "pipeline train", "registered_because": reasons}


def comparison_tags(compared: Mapping[str, Any]) -> dict[str, str]:
    """Tags of a model that was compared with the champion and is not worse; some take the place of `verdict_tags`.

    Args:
        compared: facts of the compare step.
    """
    points = {
        f"compared.{name}_points": f"{100 * figure['value']:.4f}" for name, figure in compared["differences"].items()
    }
    return {
        **points,
        **line_tags(compared["lines"]),
        "compared.mcnemar_p": f"{compared['mcnemar']['p_value']:.6f}",
        "compared_with": str(compared["champion"]["version"]),
        "registered_by": "pipeline retrain",
        "registered_because": "; ".join(compared["reasons"]),
    }
