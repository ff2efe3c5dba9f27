"""What a gate said of a version, as the registry's tags.

    gate.passed           true or false
    gate.<figure>         its value, such as `gate.accuracy`: 0.871000
    gate.<line>           the answer to a condition, such as `gate.accuracy_above`: passed: accuracy 0.8710 is above 0.7
    gate_policy           SHA-256 of what the gate asks for: two verdicts of one policy have the same

A line is named after the setting that asks for it, no setting has a figure's name, and no figure's text begins with a
word: so either can be read back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

GATE = "gate."
PASSED = f"{GATE}passed"
POLICY = "gate_policy"
MODEL_CARD = "model_card"  # where the card with the evaluation is
_ANSWERS = ("passed: ", "failed: ")


def gate_tags(verdict: Mapping[str, Any]) -> dict[str, str]:
    """The tags of a verdict.

    Args:
        verdict: facts of the evaluate step: `passed`, `metrics`, `lines` and `policy`.
    """
    known = {name: figure["value"] for name, figure in verdict["metrics"].items() if figure["value"] is not None}
    figures = {f"{GATE}{name}": f"{value:.6f}" for name, value in known.items()}
    return {**figures, **line_tags(verdict["lines"]), **_policy_tag(verdict), PASSED: str(verdict["passed"]).lower()}


def refusal_tags(verdict: Mapping[str, Any]) -> dict[str, str]:
    """The tags of a verdict that is no: all of it on test, else what failed, since the figures here are those of test.

    Args:
        verdict: facts of the step evaluate or compare.
    """
    split = verdict.get("split")
    if split == "test":
        return gate_tags(verdict)
    where = f", on {split}" if split else ""
    failed = [{**line, "reason": f"{line['reason']}{where}"} for line in verdict["lines"] if not line["passed"]]
    return {**line_tags(failed), **_policy_tag(verdict), PASSED: "false"}


def _policy_tag(verdict: Mapping[str, Any]) -> dict[str, str]:
    return {POLICY: verdict["policy"]} if "policy" in verdict else {}


def line_tags(lines: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The tags of conditions: `name`, `passed` and `reason` of each."""
    return {f"{GATE}{line['name']}": f"{_ANSWERS[not line['passed']]}{line['reason']}" for line in lines}


@dataclass(frozen=True)
class GateTags:
    """What the tags of a version say.

    Attributes:
        passed: the answer; None where no gate was asked.
        figures: by name.
        lines: by the setting that asks, `passed: reason` or `failed: reason`.
    """

    passed: bool | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    lines: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, tags: Mapping[str, str]) -> GateTags:
        """From all tags of a version."""
        said = {name.removeprefix(GATE): text for name, text in tags.items() if name.startswith(GATE)}
        passed = said.pop("passed", None)
        lines = {name: text for name, text in said.items() if text.startswith(_ANSWERS)}
        figures = {name: float(text) for name, text in said.items() if name not in lines}
        return cls(None if passed is None else passed == "true", figures, lines)
