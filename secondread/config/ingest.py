"""How a source becomes a stored folder of images."""

from __future__ import annotations

from dataclasses import dataclass

from secondread.config.require import require


@dataclass(frozen=True)
class IngestConfig:
    """How a source becomes a stored folder of images and a manifest."""

    source: str  # URI: a folder, a .npz, or phantom://...
    public_ids: bool = False  # patient ids are published already: keep them, else they leave only as a keyed hash
    modality: str = ""  # `cxr` or `oct` for every image, where the source does not say
    # Classes that a physician should look at at once, and those that may wait; a class that neither names has the
    # urgency that the library's own taxonomy gives it, or none
    urgent: tuple[str, ...] = ()
    routine: tuple[str, ...] = ()
    # file names in the record and the log are replaced by the start of the image's hash; for sources whose file names
    # tell who the patient is
    hide_names: bool = False
    min_side_pixels: int = 16  # pixels of the shorter side; the least that a model may be trained at
    min_contrast: int = 8  # grey levels between 1st and 99th percentile; noise of an exposure without a patient has 5
    # correlation of two films' details from which on they are one picture: films of different people reach 0.91, a film
    # that was saved again, halved or made brighter keeps 0.96; above 1: near duplicates are not looked for
    near_duplicate_similarity: float = 0.95
    # copies that were cropped, framed or mirrored are looked for among at most so many images: a film takes 4 ms of one
    # core, so these take a minute on two, and a hundred thousand films several; 0: never
    find_cropped_up_to: int = 20_000
    # nearly the same picture under two labels: both are left out, since no one can know which label is right, and a
    # model would be taught and judged by a contradiction; they are listed, so that a physician can settle it. False:
    # both stay, in one cluster
    leave_out_contradictions: bool = True

    def __post_init__(self) -> None:
        require(bool(self.source), "the source is empty: name a folder, a .npz file or phantom://demo.")
        require(self.min_side_pixels >= 1, f"min_side_pixels must be at least 1, not {self.min_side_pixels}.")
        require(0 <= self.min_contrast <= 255, f"min_contrast must be from 0 to 255, not {self.min_contrast}.")
        require(
            self.find_cropped_up_to >= 0, f"find_cropped_up_to must not be negative, not {self.find_cropped_up_to}."
        )
        require(
            self.near_duplicate_similarity >= 0.5,
            f"near_duplicate_similarity must be at least 0.5, not {self.near_duplicate_similarity}: "
            "below it films of different people are one.",
        )
