"""The gate: may a model with these figures go on? One pure function from policy and figures to a reasoned answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from secondread.config.gate import GateConfig
from secondread.config.mapping import from_mapping
from secondread.errors import InputError


@dataclass(frozen=True)
class GateResult:
    """The gate's answer.

    Attributes:
        passed: every condition holds.
        reasons: one sentence a condition, those that failed first.
    """

    passed: bool
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return f"gate {'passed' if self.passed else 'refused'}: {'; '.join(self.reasons)}"


def decide(policy: GateConfig, metrics: Mapping[str, Mapping[str, float | None]], *, images: int) -> GateResult:
    """Compare figures with the policy. A figure that is missing or not defined fails: no data is no success.

    Args:
        policy: the limits; `above` and `below` exclude the limit itself.
        metrics: name to `{"value": x, ...}`, as in an evaluation's JSON.
        images: how many images the figures come from.
    """
    answers = [(images >= policy.images_at_least, f"{images} images, at least {policy.images_at_least} asked")]
    for name, limit, above in _limits(policy):
        value = metrics.get(name, {}).get("value")
        side = "above" if above else "below"
        if value is None or value != value:  # NaN is not equal to itself
            answers.append((False, f"{name} is not known, {side} {limit:.4g} asked"))
        else:
            holds = value > limit if above else value < limit
            answers.append((holds, f"{name} {value:.4f} is {'' if holds else 'not '}{side} {limit:.4g}"))
    answers.sort(key=lambda answer: answer[0])
    return GateResult(passed=all(holds for holds, _ in answers), reasons=tuple(reason for _, reason in answers))


def read_policy(path: Path | str) -> GateConfig:
    """Read a policy from a `gate.yaml`: a mapping of `GateConfig`'s fields.

    Raises:
        InputError: the file is missing, is no YAML mapping, or has a key or value that is no setting.
    """
    try:
        document: Any = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read the gate policy {path}: {error.strerror}. Name a gate.yaml.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"the gate policy {path} is no YAML: {' '.join(str(error).split())}") from error
    if document is None:
        document = {}
    if not isinstance(document, dict):
        raise InputError(f"the gate policy {path} must map settings to limits, such as 'accuracy_above: 0.70'.")
    try:
        return from_mapping(GateConfig, document, stage="")
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _limits(policy: GateConfig) -> list[tuple[str, float, bool]]:
    """(metric, limit, whether it must be above) of each condition that is asked for."""
    candidates = [
        ("accuracy", policy.accuracy_above, True),
        ("auroc_macro", policy.auroc_macro_above, True),
        ("balanced_accuracy", policy.balanced_accuracy_above, True),
        ("ece", policy.ece_below, False),
    ]
    return [(name, limit, above) for name, limit, above in candidates if limit is not None]
