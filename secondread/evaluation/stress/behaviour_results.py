"""What behaviour tests are run on, and what they found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from secondread.data.pixels.preprocess import Preprocessing
from secondread.errors import InputError
from secondread.evaluation.metrics.arrays import FloatArray, IntArray
from secondread.evaluation.nulls import null_for_nan
from secondread.taxonomy import Taxonomy

PASS, FAIL, COULD_NOT_RUN, NOT_ASKED = "pass", "fail", "could not be run", "not asked"  # verdicts


@dataclass(frozen=True)
class Films:
    """What a model is tested on, and what is known of the model.

    Attributes:
        images: uint8 (images, 1, size, size), made with `preprocessing`.
        labels: int (images,), positions in `taxonomy`.
        image_ids: (images,) of str; the only name an image keeps in what is written.
        patients: (images,), or the image itself where patients are not known.
        taxonomy: the model's classes.
        preprocessing: the model's.
        synthetic: the model learned from phantoms.
        reference: what another model says of the images, float (images, classes), such as the champion or the graph
            before it was quantized; None where there is none. The model itself would agree with itself.
    """

    images: npt.NDArray[np.uint8]
    labels: IntArray
    image_ids: npt.NDArray[Any]
    patients: npt.NDArray[Any]
    taxonomy: Taxonomy
    preprocessing: Preprocessing
    synthetic: bool = False
    reference: FloatArray | None = None

    def __post_init__(self) -> None:
        lengths = {len(self.images), len(self.labels), len(self.image_ids), len(self.patients)}
        if len(lengths) != 1 or (self.reference is not None and len(self.reference) not in lengths):
            raise InputError(
                f"{len(self.images)} images, {len(self.labels)} labels, {len(self.image_ids)} ids and "
                f"{len(self.patients)} patients, or the reference's answers, differ in length: give one for each image."
            )


@dataclass(frozen=True)
class BehaviourResult:
    """What one test found.

    Attributes:
        name, kind, asks: which test: `invariance`, `direction` or `minimum`, and its sentence.
        n: films that it was run on.
        failures: of these.
        share: failures / n; NaN where it could not be run.
        low, high: interval of the share.
        allowed_share: that may fail.
        verdict: `pass`, `fail`, `could not be run`, which is no pass, or `not asked` of such a model.
        reason: a sentence.
        worst: ids of the films that failed most, the worst first.
    """

    name: str
    kind: str
    asks: str
    n: int
    failures: int
    share: float
    low: float
    high: float
    allowed_share: float
    verdict: str
    reason: str
    worst: tuple[str, ...]


@dataclass(frozen=True)
class Behaviour:
    """What all tests found.

    Attributes:
        level: of the intervals.
        results: in the order of the tests.
    """

    level: float
    results: tuple[BehaviourResult, ...]

    @property
    def passed(self) -> bool:
        """Every test that is asked of such a model passed, and there was one."""
        asked = [result for result in self.results if result.verdict != NOT_ASKED]
        return bool(asked) and all(result.verdict == PASS for result in asked)

    def to_json(self) -> dict[str, Any]:
        """As JSON; what cannot be known is null."""
        document: dict[str, Any] = null_for_nan(asdict(self))
        return document | {"passed": self.passed}
