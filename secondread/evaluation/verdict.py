"""A gate's answer: a line for each thing that it asks, with its reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """One condition.

    Attributes:
        name: the setting that asks for it.
        passed: it holds.
        reason: a sentence.
    """

    name: str
    passed: bool
    reason: str


@dataclass(frozen=True)
class GateResult:
    """The gate's answer.

    Attributes:
        passed: every condition holds.
        lines: the conditions, those that failed first.
    """

    passed: bool
    lines: tuple[Line, ...]

    @classmethod
    def of(cls, lines: Iterable[Line]) -> GateResult:
        """The answer to some conditions."""
        ordered = sorted(lines, key=lambda line: line.passed)
        return cls(all(line.passed for line in ordered), tuple(ordered))

    @property
    def reasons(self) -> tuple[str, ...]:
        """One sentence a condition, those that failed first."""
        return tuple(line.reason for line in self.lines)

    @property
    def tripped(self) -> tuple[str, ...]:
        """Names of the conditions that do not hold."""
        return tuple(line.name for line in self.lines if not line.passed)

    def __str__(self) -> str:
        return f"gate {'passed' if self.passed else 'refused'}: {'; '.join(self.reasons)}"
