"""What readings of many images must come to before they go anywhere."""

from __future__ import annotations

from dataclasses import dataclass

from secondread.config.require import require


@dataclass(frozen=True)
class ScoreConfig:
    """What readings of many images must come to before they are delivered."""

    # share of the images, inclusive. A picture archive's export has reports and torn files among its films, some in a
    # hundred; where one in ten cannot be read, it is the wrong folder, list or codec, and most of the table is holes
    unreadable_at_most: float = 0.1

    def __post_init__(self) -> None:
        share = self.unreadable_at_most
        require(0 <= share <= 1, f"unreadable_at_most must be a share from 0 to 1, not {share}.")

    def refusal(self, unreadable: int, images: int) -> str:
        """Why readings are not delivered; empty where they are.

        Args:
            unreadable: images that could not be read.
            images: all of them, at least 1.
        """
        share = unreadable / images
        if share <= self.unreadable_at_most:
            return ""
        return (
            f"{unreadable:,} of {images:,} images cannot be read, {100 * share:.1f} %, and score.unreadable_at_most is "
            f"{100 * self.unreadable_at_most:g} %"
        )
