"""`--set stage.field=value`: any field of any stage's configuration from the command line.

A field that is a configuration itself is set field by field: `evaluate.risk_dial.accepted=0.02`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from secondread.errors import InputError

STAGES = ("ingest", "preprocess", "train", "evaluate", "quantize", "gate")
RETRAIN_STAGES = ("train", "evaluate", "quantize", "gate", "compare")  # of the retraining pipeline
DATA_STAGES = ("ingest", "preprocess", "audit")  # of the data pipeline
SCORE_STAGES = ("score",)  # of the scoring pipeline
DEPLOY_STAGES = ("policy", "control")  # of the deployment pipeline, and of those that may end in it


def parse_settings(pairs: Iterable[str], stages: Sequence[str] = STAGES) -> dict[str, dict[str, Any]]:
    """Settings by stage.

    Args:
        pairs: such as `train.epochs=12`. Values are JSON where they can be, else text.
        stages: that there are.
    Raises:
        InputError: a pair of another form, or a stage that does not exist.
    """
    settings: dict[str, dict[str, Any]] = {stage: {} for stage in stages}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        stage, *path = key.split(".")
        if not (equals and path and all(path)) or stage not in stages:
            raise InputError(f"--set {pair}: expected STAGE.FIELD=VALUE with a stage of {', '.join(stages)}.")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        _put(settings[stage], path, value, pair)
    return settings


def _put(settings: dict[str, Any], path: Sequence[str], value: Any, pair: str) -> None:
    """Set one field, or one of a configuration within."""
    *within, field = path
    for name in within:
        settings = settings.setdefault(name, {})
        if not isinstance(settings, dict):
            raise InputError(f"--set {pair}: {name} was set as a whole before. Set it once, or its fields one by one.")
    settings[field] = value
