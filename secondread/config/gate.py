"""What a model must reach to go on."""

from __future__ import annotations

from dataclasses import dataclass, fields

from secondread.config.require import require


@dataclass(frozen=True)
class GateConfig:
    """What a model's figures must reach before it goes on; read from a `gate.yaml`. None: not asked for."""

    accuracy_above: float | None = 0.70  # share of images, exclusive: the seed project's gate
    auroc_macro_above: float | None = None  # exclusive; ask for it where classes are rare and accuracy says little
    balanced_accuracy_above: float | None = None  # mean recall, exclusive
    ece_below: float | None = None  # expected calibration error, exclusive
    images_at_least: int = 1  # images, inclusive; raise it so that a handful of lucky images decides nothing

    def __post_init__(self) -> None:
        for field in fields(self):
            limit = getattr(self, field.name)
            if field.name.endswith(("_above", "_below")):
                plain = isinstance(limit, int | float) and not isinstance(limit, bool)
                number = limit is None or (plain and 0 <= limit <= 1)
                require(number, f"gate: {field.name} must be a share from 0 to 1 or null, not {limit!r}.")
        whole = type(self.images_at_least) is int and self.images_at_least >= 1
        require(whole, f"gate: images_at_least must be a whole number from 1, not {self.images_at_least!r}.")
