"""A gate's verdict on a version that the registry has already."""

from __future__ import annotations

from collections.abc import Mapping

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from secondread.tracking.gate_tags import GATE, MODEL_CARD, PASSED, POLICY, GateTags


def judge_anew(client: MlflowClient, version: ModelVersion, tags: Mapping[str, str]) -> None:
    """Give a version a new verdict, where there is one, and no line of the one before.

    Cut anywhere it passes only with the whole of the new verdict: a no is written first, a yes last. A no without
    figures was not asked on test, and adds to what was.

    Args:
        client: of the registry.
        version: as the registry has it.
        tags: of the model, as it is registered or refused; all but the verdict are passed over.
    """
    verdict = {name: text for name, text in tags.items() if name.startswith(GATE) or name in (MODEL_CARD, POLICY)}
    if PASSED not in verdict:
        return
    passed = {PASSED: verdict.pop(PASSED)}
    refused = passed[PASSED] != "true"
    if refused:
        complete(client, version, passed)
    if GateTags.read(tags).figures or not refused:
        for name in version.tags:
            if name.startswith(GATE) and name != PASSED and name not in verdict:
                client.delete_model_version_tag(version.name, str(version.version), name)
    complete(client, version, {**verdict, **passed})


def complete(client: MlflowClient, version: ModelVersion, facts: Mapping[str, str]) -> None:
    """Write those tags of a version that differ, in order."""
    for key, value in facts.items():
        if version.tags.get(key) != value:
            client.set_model_version_tag(version.name, str(version.version), key, value)
