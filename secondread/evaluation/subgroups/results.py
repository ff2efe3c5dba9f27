"""What comparing groups of patients found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from secondread.errors import InputError
from secondread.evaluation.nulls import null_for_nan

ACCURACY, SAME_MIX, SENSITIVITY, AUROC = "accuracy", "same_mix", "sensitivity", "auroc"  # figures of a gap
JUDGED = (SAME_MIX, SENSITIVITY)

WORSE, BETTER, NOT_SHOWN = "worse", "better", "no gap shown"  # verdicts
TOO_SMALL, NOT_JUDGED = "too small to tell", "not judged"


@dataclass(frozen=True)
class Gap:
    """A group less those it is compared with; NaN where it cannot be known.

    Attributes:
        figure: `accuracy`, `same_mix` (accuracy at the same class mix), `sensitivity` or `auroc` (mean over classes).
        classes: those that it is taken over; the class, of a sensitivity.
        group, others: the figure of both sides, in [0, 1].
        value: group - others; negative where the group is read worse.
        low, high: interval of `value`; all of one evaluation hold at once, but that of an AUROC for itself. NaN where a
            side is too small.
        verdict: `worse` or `better` where the interval excludes 0, `no gap shown`, `too small to tell` or `not judged`.
    """

    figure: str
    classes: tuple[str, ...]
    group: float
    others: float
    value: float
    low: float
    high: float
    verdict: str

    @property
    def flagged(self) -> bool:
        """Whether the gap is more than chance."""
        return self.verdict in (WORSE, BETTER)


@dataclass(frozen=True)
class Group:
    """One group; NaN where a figure cannot be known.

    Attributes:
        name: such as `F`.
        images, patients: in it.
        accuracy: share of its images that are right.
        sensitivity: by class.
        auroc: of each class against the rest, among the group's images.
        gaps: between it and the rest of those whose group is known; none for `not known`, or where there is no other.
    """

    name: str
    images: int
    patients: int
    accuracy: float
    sensitivity: Mapping[str, float]
    auroc: Mapping[str, float]
    gaps: tuple[Gap, ...]

    def gap(self, figure: str, label: str = "") -> Gap:
        """One of its gaps.

        Args:
            figure: as in `Gap`.
            label: the class, of a sensitivity.
        Raises:
            InputError: the group has no such gap.
        """
        for gap in self.gaps:
            if gap.figure == figure and (not label or gap.classes == (label,)):
                return gap
        raise InputError(f"group '{self.name}' has no gap in {figure} {label}".rstrip() + ".")


@dataclass(frozen=True)
class LargestGap:
    """The two groups of a factor that are farthest apart at the same class mix.

    Attributes:
        worse, better: their names.
        gap: worse - better.
    """

    worse: str
    better: str
    gap: Gap


@dataclass(frozen=True)
class Factor:
    """One way to divide the patients.

    Attributes:
        name: such as `sex`.
        groups: by name; `not known` is last and compared with nobody.
        largest: None where fewer than two groups are large enough.
    """

    name: str
    groups: tuple[Group, ...]
    largest: LargestGap | None

    @property
    def told(self) -> bool:
        """Some gap between its groups could be judged."""
        return any(gap.figure in JUDGED and gap.verdict != TOO_SMALL for group in self.groups for gap in group.gaps)

    @property
    def classes_untold(self) -> tuple[str, ...]:
        """Classes of whose sensitivity no gap could be judged: too few of them on a side of each."""
        names = self.groups[0].sensitivity if self.groups else ()
        told = {
            gap.classes[0]
            for group in self.groups
            for gap in group.gaps
            if gap.figure == SENSITIVITY and gap.verdict != TOO_SMALL
        }
        return tuple(name for name in names if name not in told)


@dataclass(frozen=True)
class Subgroups:
    """All groups of an evaluation.

    Attributes:
        n: images.
        patients: or images where patients are not known.
        level: of the intervals, all gaps together.
        looks: gaps whose intervals hold at once.
        width: c, half the width of an interval in standard deviations; NaN where there is nothing to compare.
        factors: in the order given.
    """

    n: int
    patients: int
    level: float
    looks: int
    width: float
    factors: tuple[Factor, ...]

    def findings(self) -> tuple[str, ...]:
        """One sentence for each group that is read worse, and for each gap that the class mix alone makes."""
        groups = [(factor.name, group) for factor in self.factors for group in factor.groups]
        return tuple(text for name, group in groups for text in _sentences(name, group))

    def to_json(self) -> dict[str, Any]:
        """As JSON; what cannot be known is null."""
        document: dict[str, Any] = null_for_nan(asdict(self))
        return document | {"findings": list(self.findings())}


def _sentences(factor: str, group: Group) -> Iterator[str]:
    """What is to be said of a group."""
    where = f"{factor.replace('_', ' ')} {group.name} ({group.patients} patients)"
    for gap in group.gaps:
        points = f"{100 * gap.value:+.1f} points ({100 * gap.low:+.1f} to {100 * gap.high:+.1f})"
        if gap.verdict == WORSE and gap.figure == SAME_MIX:
            yield f"{where}: read worse than the rest, {points} of accuracy at the same class mix"
        elif gap.verdict == WORSE:
            yield f"{where}: {gap.classes[0]} is found less often than in the rest, {points} of sensitivity"
        elif gap.figure == ACCURACY and gap.high < 0 and group.gap(SAME_MIX).verdict == NOT_SHOWN:
            yield f"{where}: accuracy differs by {points}, not seen at the same mix: it has other classes"
