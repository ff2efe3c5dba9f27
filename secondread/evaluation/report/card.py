"""The model card: what a person should know before relying on a model, limits included. It needs no eyes for HTML.

Training writes one with figures of val, each evaluation one with its own. Source: Mitchell et al. 2019, "Model Cards
for Model Reporting", doi:10.1145/3287560.3287596; the headings are theirs, in their order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from secondread.data.audit.counts import NOT_KNOWN
from secondread.data.manifest import SPLITS
from secondread.evaluation.metrics.by_name import OVERALL
from secondread.evaluation.report.page import (
    NOTICE,
    format_figure,
    format_interval,
    format_signed,
    format_signed_interval,
)
from secondread.evaluation.results import Evaluation
from secondread.evaluation.stress.behaviour_results import NOT_ASKED, PASS, Behaviour
from secondread.evaluation.stress.corruptions import CORRUPTIONS, STRENGTHS
from secondread.evaluation.stress.not_my_field import FLOOR, Flagged
from secondread.evaluation.stress.robustness import Change, Robustness
from secondread.evaluation.subgroups.results import JUDGED, SENSITIVITY, TOO_SMALL, WORSE, Factor, Gap, Group, Subgroups
from secondread.model.folder import ModelConfigFile
from secondread.model.training_record import TrainingRecord
from secondread.taxonomy import MODALITIES, Taxonomy

_TEMPLATE = Path(__file__).parent / "card.md"
_NOTHING_KNOWN = "Nothing is known of the patients here: for whom it is worse cannot be told."


def model_card(
    model: ModelConfigFile,
    training: TrainingRecord | None,
    val: Mapping[str, float | int | None] | None = None,
    *,
    evaluation: Evaluation | None = None,
) -> str:
    """The card as Markdown.

    Args:
        model: what `config.json` says.
        training: what the model's folder says of its training; None where it says nothing.
        val: figures on val, as `metrics.json` has them, which stand in the card where there is no evaluation.
        evaluation: whose analyses stand in the card.
    """
    evidence = evaluation.evidence if evaluation else None
    subgroups = evidence.subgroups if evidence else None
    groups = [_Compared.of(factor) for factor in subgroups.factors] if subgroups else []
    environment = Environment(  # noqa: S701 - Markdown: `_harmless` does what is to be done
        loader=FileSystemLoader(_TEMPLATE.parent),
        undefined=StrictUndefined,
        finalize=_harmless,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(_FILTERS)
    card: str = environment.get_template(_TEMPLATE.name).render(
        model=model,
        training=training,
        val=val or {},
        evaluation=evaluation,
        evidence=evidence,
        notice=NOTICE,
        nothing_known=_NOTHING_KNOWN,
        titles=OVERALL,
        floor=FLOOR,
        strongest=STRENGTHS[-1],
        modalities=_modalities(model.taxonomy),
        splits=[split for split in SPLITS if training and split in training.counts],
        groups=groups,
        compared=any(item.compared for item in groups),
        gaps=_gaps(subgroups) if subgroups else [],
        breaking=_breaking(evidence.robustness) if evidence and evidence.robustness else [],
        failing=_failing(evidence.behaviour) if evidence and evidence.behaviour else [],
    )
    return card


@dataclass(frozen=True)
class _Compared:
    """What could be compared within one factor.

    Attributes:
        name: of the factor.
        compared, small: groups with at least one gap that could be told, and those that are too small for any.
        not_known: images whose group is not known.
    """

    name: str
    compared: tuple[str, ...]
    small: tuple[str, ...]
    not_known: int

    @classmethod
    def of(cls, factor: Factor) -> _Compared:
        """Of a factor; a group that is the only one is too small, too: there is nobody to compare it with."""
        named = [group for group in factor.groups if group.name != NOT_KNOWN]
        told = [any(gap.verdict != TOO_SMALL for gap in group.gaps if gap.figure in JUDGED) for group in named]
        return cls(
            factor.name,
            tuple(group.name for group, known in zip(named, told, strict=True) if known),
            tuple(group.name for group, known in zip(named, told, strict=True) if not known),
            sum(group.images for group in factor.groups if group.name == NOT_KNOWN),
        )


@dataclass(frozen=True)
class _FlaggedGap:
    """A gap that is more than chance, and what it is of, in words."""

    factor: str
    group: Group
    gap: Gap

    @property
    def of(self) -> str:
        return (
            f"sensitivity of {self.gap.classes[0]}"
            if self.gap.figure == SENSITIVITY
            else "accuracy at the same class mix"
        )


def _gaps(found: Subgroups) -> list[_FlaggedGap]:
    """Every gap that is more than chance: where it is worse first, the widest first."""
    flagged = [
        _FlaggedGap(factor.name, group, gap)
        for factor in found.factors
        for group in factor.groups
        for gap in group.gaps
        if gap.flagged
    ]
    return sorted(flagged, key=lambda item: (item.gap.verdict != WORSE, -abs(item.gap.value)))


@dataclass(frozen=True)
class _Breaking:
    """What one corruption costs.

    Attributes:
        title: for people.
        strength: from which on the cost is more than chance; None where it never is.
        there: the accuracy at that strength; at the strongest where there is none.
        strongest: the accuracy at the strongest.
    """

    title: str
    strength: int | None
    there: Change
    strongest: Change


def _breaking(found: Robustness) -> list[_Breaking]:
    """One a corruption, that which costs from the least strength on first."""
    rows = []
    for name, figures in found.corruptions.items():
        strength, strongest = found.costs_from(name), figures[-1]["accuracy"]
        there = figures[STRENGTHS.index(strength)]["accuracy"] if strength else strongest
        rows.append(_Breaking(CORRUPTIONS[name].title, strength, there, strongest))
    return sorted(rows, key=lambda row: (row.strength or len(STRENGTHS) + 1, row.strongest.difference))


def _failing(found: Behaviour) -> list[Any]:
    """Tests that are asked of such a model and do not pass."""
    return [result for result in found.results if result.verdict not in (PASS, NOT_ASKED)]


def _modalities(taxonomy: Taxonomy) -> str:
    names = sorted({MODALITIES.get(info.modality, info.modality) for info in taxonomy.classes} - {""})
    return " and ".join(names) or "a kind that its classes do not say"


def _harmless(value: object) -> object:
    """Text of a manifest cannot become markup, nor break out of a table."""
    if not isinstance(value, str):
        return value
    return value.replace("<", "&lt;").replace("|", "\\|").replace("\n", " ")


def _percents(found: Flagged) -> str:
    return f"{_percent(found.low)} to {_percent(found.high)}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"


def _loss(change: Change) -> str:
    return f"{-100 * change.difference:.1f}"


def _loss_interval(change: Change) -> str:
    known = math.isfinite(change.low)
    return f"{-100 * change.high:.1f} to {-100 * change.low:.1f}" if known else "cannot be told"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _spaced(name: str) -> str:
    return name.replace("_", " ")


_FILTERS = {
    "figure": format_figure,
    "between": format_interval,
    "signed": format_signed,
    "signed_between": format_signed_interval,
    "percent": _percent,
    "percents": _percents,
    "points": _points,
    "loss": _loss,
    "loss_interval": _loss_interval,
    "sentence": _sentence,
    "spaced": _spaced,
}
