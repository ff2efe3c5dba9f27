"""How stored images become a dataset version."""

from __future__ import annotations

from dataclasses import dataclass

from secondread.config.require import require, require_seed

NO_CONTRAST = "none"
CLAHE = "clahe"  # contrast-limited adaptive histogram equalisation
CONTRASTS = (NO_CONTRAST, CLAHE)


@dataclass(frozen=True)
class PreprocessConfig:
    """How stored images become a dataset version."""

    image_size: int = 96  # pixels, both sides; findings of these sets survive it and two cores can train on it
    contrast: str = NO_CONTRAST  # or clahe; off, since whether a model gains by it depends on the set: measure it
    trim_borders: bool = False  # cut off black or white frames; off, since it changes what is seen of a film
    split_seed: int = 0  # picks one of the possible splits
    final_eval_share: float = 0.15  # share of groups set aside for simulated live traffic
    final_eval_min_images: int = 2_000  # below this many images none is set aside: too few to spare
    min_groups_per_class: int = 3  # groups; one each for train, val and test, else a class cannot be split

    def __post_init__(self) -> None:
        require_seed("split_seed", self.split_seed)
        require(16 <= self.image_size <= 1024, f"image_size must be from 16 to 1024 pixels, not {self.image_size}.")
        require(self.contrast in CONTRASTS, f"contrast must be {' or '.join(CONTRASTS)}, not '{self.contrast}'.")
        require(0 <= self.final_eval_share < 0.5, f"final_eval_share must be in [0, 0.5), not {self.final_eval_share}.")
        require(self.min_groups_per_class >= 3, "min_groups_per_class must be at least 3: train, val and test.")
