"""Films that a model once read wrongly, in a folder that grows: which of them still fail, and which were mended.

    known-failures/
      white-frame/             the name of the case
        case.yaml              sentence: A normal film in a white frame was called tuberculosis.
                               label: cxr-normal
                               since: 2026-11-20
        image.png              or .jpg, .jpeg, .dcm; `image` is its name, so that none is a patient's

In place of an image, `case.yaml` may say what makes it, so that nothing real is committed:

    phantom: {label: cxr-normal, seed: 17}
    change: {kind: border, width: 0.06, grey: 255}     # of `secondread.config.changes`; may be done to an image, too

A case counts as mended when the true class is the most probable one. One that cannot be run, because the model does not
have its class or the image is damaged, is named with the reason, and not mended.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from secondread.config.document import read_document
from secondread.config.known_failures import KnownFailureConfig, known_failure_from
from secondread.data.pixels.decode import read_bounded
from secondread.data.pixels.preprocess import Preprocessing, preprocess
from secondread.data.sources.phantom.png import encode_png
from secondread.data.sources.phantom.render import phantom_image
from secondread.errors import InputError
from secondread.evaluation.nulls import null_for_nan
from secondread.evaluation.stress.answers import Predict, answers
from secondread.evaluation.stress.changes import apply
from secondread.taxonomy import Taxonomy

CASE_FILE = "case.yaml"
IMAGE_FILES = ("image.png", "image.jpg", "image.jpeg", "image.dcm")

STILL_FAILS, MENDED, COULD_NOT_RUN = "still fails", "mended", "could not be run"  # verdicts


@dataclass(frozen=True)
class Case:
    """One known failure, read.

    Attributes:
        name: of its folder.
        config: what its `case.yaml` says.
        image: encoded, JPEG, PNG or DICOM.
    """

    name: str
    config: KnownFailureConfig
    image: bytes


@dataclass(frozen=True)
class CaseResult:
    """What a model makes of a case.

    Attributes:
        name, sentence, label, since: of the case; `since` as ISO 8601.
        answer: the model's; empty where it could not be run.
        probability: of the true class; NaN where it could not be run.
        verdict: `still fails`, `mended` or `could not be run`.
        reason: why it could not be run, else empty.
        pixels: what the model was given, uint8 (size, size); None where it could not be run. Not in the JSON.
    """

    name: str
    sentence: str
    label: str
    since: str
    answer: str
    probability: float
    verdict: str
    reason: str
    pixels: npt.NDArray[np.uint8] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class KnownFailures:
    """What a model makes of all cases, in the order of their names."""

    cases: tuple[CaseResult, ...]

    def of(self, verdict: str) -> tuple[CaseResult, ...]:
        """The cases with a verdict."""
        return tuple(case for case in self.cases if case.verdict == verdict)

    def to_json(self) -> dict[str, Any]:
        """As JSON; what cannot be known is null."""
        shown = [name for name in CaseResult.__dataclass_fields__ if name != "pixels"]
        cases = [{name: getattr(case, name) for name in shown} for case in self.cases]
        document: dict[str, Any] = null_for_nan({"cases": cases})
        counts = {verdict: len(self.of(verdict)) for verdict in (STILL_FAILS, MENDED, COULD_NOT_RUN)}
        return document | {"counts": counts}


def read_cases(root: Path | str) -> tuple[Case, ...]:
    """Read every case of a folder, in the order of their names. Names that start with a dot are passed over.

    Args:
        root: the folder.
    Raises:
        InputError: there is no such folder, or a case is not as this module's docstring says; the message names it.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root} is no folder. Name one with a folder for each known failure, {CASE_FILE} in each.")
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    return tuple(map(_read, folders))


def run_known_failures(
    predict: Predict, cases: tuple[Case, ...], *, taxonomy: Taxonomy, preprocessing: Preprocessing
) -> KnownFailures:
    """Ask a model about every case.

    Args:
        predict: from uint8 (batch, 1, size, size) to probabilities, float (batch, classes).
        cases: as `read_cases` gives them.
        taxonomy: the model's classes.
        preprocessing: the model's.
    Raises:
        InputError: `predict` gives no probabilities.
    """
    return KnownFailures(tuple(_result(predict, case, taxonomy, preprocessing) for case in cases))


def _read(folder: Path) -> Case:
    path = folder / CASE_FILE
    document = read_document(path, what="known failure")
    try:
        config = known_failure_from(document)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return Case(folder.name, config, _image(folder, config))


def _image(folder: Path, config: KnownFailureConfig) -> bytes:
    """The encoded image that lies in the folder, or is drawn."""
    found = [folder / name for name in IMAGE_FILES if (folder / name).is_file()]
    if len(found) + (config.phantom is not None) != 1:
        raise InputError(
            f"{folder} must have one of {', '.join(IMAGE_FILES)}, or 'phantom' in its {CASE_FILE}: exactly one of them."
        )
    if config.phantom is None:
        return read_bounded(found[0])
    wanted = config.phantom
    try:
        drawn = phantom_image(wanted.label, size=wanted.size, seed=wanted.seed, with_finding=wanted.with_finding)
    except InputError as error:
        raise InputError(f"{folder / CASE_FILE}: {error}") from error
    return encode_png(drawn)


def _result(predict: Predict, case: Case, taxonomy: Taxonomy, preprocessing: Preprocessing) -> CaseResult:
    try:
        label, pixels = taxonomy.index(case.config.label), _pixels(case, preprocessing)
    except InputError as error:
        return _said(case, "", float("nan"), COULD_NOT_RUN, reason=str(error))
    probabilities = answers(predict, pixels, batch_size=1)
    answer = int(probabilities[0].argmax())
    verdict = MENDED if answer == label else STILL_FAILS
    return _said(case, taxonomy.names[answer], float(probabilities[0, label]), verdict, pixels=pixels[0, 0])


def _pixels(case: Case, preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
    """What the model is given: uint8 (1, 1, size, size)."""
    pixels = preprocess(case.image, preprocessing)[None, None]
    return pixels if case.config.change is None else apply(case.config.change, pixels, preprocessing)


def _said(
    case: Case,
    answer: str,
    probability: float,
    verdict: str,
    *,
    reason: str = "",
    pixels: npt.NDArray[np.uint8] | None = None,
) -> CaseResult:
    config = case.config
    since = config.since.isoformat()
    return CaseResult(
        case.name, config.sentence, config.label, since, answer, probability, verdict, reason, pixels=pixels
    )
