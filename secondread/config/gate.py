"""What a model must reach to go on."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, fields, replace

from secondread.config.require import require
from secondread.config.subgroups import FACTORS


@dataclass(frozen=True)
class GateConfig:
    """What a model must reach before it goes on; read from a `gate.yaml`. None: not asked for.

    What is asked for and not known is a no.
    """

    accuracy_above: float | None = 0.70  # share of images, exclusive: below it too many are wrong to go on
    auroc_macro_above: float | None = None  # exclusive; ask for it where classes are rare and accuracy says little
    balanced_accuracy_above: float | None = None  # mean recall, exclusive
    sensitivity_above: float | None = None  # of every class, exclusive; a mean hides the class that is missed
    # Expected calibration error, exclusive; or no more than a perfectly calibrated model would show by chance, since a
    # few hundred images cannot prove 0.03.
    ece_below: float | None = None
    latency_p99_ms_below: float | None = None  # milliseconds of one image in the graph, 99th percentile, exclusive
    # Percentage points that a group may be read worse at the same class mix or in one class's sensitivity, where that
    # is more than chance; exclusive.
    subgroup_gap_points_below: float | None = None
    # Factors of which that must be known (`sex`, `age_band`, `view`, `source`, `modality`); one whose groups are not
    # known, or too small, is a no. Empty, since most public sets say nothing of their patients: any one factor is
    # enough then, and the reason names the others.
    subgroups_told: tuple[str, ...] = ()
    behaviour_tests: bool = False  # every behaviour test that is asked of such a model must pass
    other_fields_above: float | None = None  # share of the images of other fields that is turned away, exclusive
    false_alarms_below: float | None = None  # share of its own images that is turned away, exclusive
    known_failures_mended_at_least: float | None = None  # share of them, inclusive: 1 asks for every one
    # Percentage points that it may be worse than the champion on the same images; the low end of the difference's
    # interval decides, so that few images are no success. None: not compared.
    accuracy_margin_points: float | None = None
    auroc_margin_points: float | None = None  # likewise, of the macro AUROC
    images_at_least: int = 1  # images, inclusive; raise it so that a handful of lucky images decides nothing

    def __post_init__(self) -> None:
        points = ("subgroup_gap_points_below", "accuracy_margin_points", "auroc_margin_points")
        greatest = {"latency_p99_ms_below": math.inf, **dict.fromkeys(points, 100.0)}
        for field in fields(self):
            limit, most = getattr(self, field.name), greatest.get(field.name, 1.0)
            if field.name.endswith(("_above", "_below", "_mended_at_least", "_points")):
                plain = isinstance(limit, int | float) and not isinstance(limit, bool)
                span = (
                    "a share from 0 to 1" if most == 1 else "a number from 0" + (f" to {most:g}" * math.isfinite(most))
                )
                holds = limit is None or (plain and 0 <= limit <= most)
                require(holds, f"gate: {field.name} must be {span} or null, not {limit!r}.")
        for name in self.subgroups_told:
            known = name in FACTORS
            require(known, f"gate: subgroups_told must be of {', '.join(FACTORS)}, and {name!r} is none of these.")
        require(isinstance(self.behaviour_tests, bool), "gate: behaviour_tests must be true or false.")
        whole = type(self.images_at_least) is int and self.images_at_least >= 1
        require(whole, f"gate: images_at_least must be a whole number from 1, not {self.images_at_least!r}.")

    def fingerprint(self) -> str:
        """SHA-256, hex, of what is asked for."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def figures_only(self) -> GateConfig:
        """What of it is asked where no evidence beyond the figures is gathered, as early in a pipeline."""
        return replace(
            self,
            latency_p99_ms_below=None,
            subgroup_gap_points_below=None,
            subgroups_told=(),
            behaviour_tests=False,
            other_fields_above=None,
            false_alarms_below=None,
            known_failures_mended_at_least=None,
            accuracy_margin_points=None,
            auroc_margin_points=None,
        )
