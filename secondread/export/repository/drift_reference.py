"""What a model answered on val, in the form that a server compares with: at most 500 images, without pandas.

Images are taken so that the shares of the predicted classes stay what they are on val, and of each class as many
different patients as there are before any comes twice.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from secondread.errors import IntegrityError
from secondread.logging import get_logger
from secondread.model.folder import REFERENCE_FILE, ModelFolder
from secondread.monitoring.answers import Answers

_IMAGES = 500  # an embedding of 192 numbers each: 0.4 MB in all, and comparing them with as many takes 0.1 s
_SEED = 0

log = get_logger(__name__)


def drift_reference(model: ModelFolder, *, images: int = _IMAGES) -> Answers | None:
    """Read `reference.parquet` of a model folder; None where there is none.

    Args:
        model: as `train` or `quantize` wrote it.
        images: at most.
    Raises:
        IntegrityError: the file is damaged, or of another model.
    """
    file = model.root / REFERENCE_FILE
    if not file.is_file():
        return None
    try:
        return _answers(file, model.config.taxonomy.names, images)
    except (OSError, KeyError, ValueError, IntegrityError) as error:
        raise IntegrityError(
            f"{file} is not what train writes ({' '.join(str(error).split())}). Train the model again, or remove the "
            "file: then no drift is told."
        ) from error


def _answers(file: Path, names: tuple[str, ...], images: int) -> Answers:
    frame = pd.read_parquet(file)
    if "patient" not in frame:
        log.warning("%s does not say which images are of one patient: drift is judged as if all were of others", file)
        frame = frame.assign(patient=np.arange(len(frame)))
    frame = _chosen(frame, images)
    return Answers(
        predicted=np.array([names.index(label) for label in frame["predicted"]], np.int64),
        confidence=frame["confidence"].to_numpy(np.float32),
        embedding=np.stack(frame["embedding"].tolist()).astype(np.float32),
        group=frame["patient"].to_numpy(np.int64),
    )


def _chosen(frame: pd.DataFrame, images: int) -> pd.DataFrame:
    """So many of the rows, in their order, the same ones each time."""
    shuffled = frame.sample(frac=1, random_state=_SEED)
    turn = shuffled.groupby(["predicted", "patient"]).cumcount()
    in_turns = shuffled.loc[turn.sort_values(kind="stable").index]
    of_class = in_turns.groupby("predicted")
    # where in its class each row is, from 0 to 1: of all classes together, the first ones are the same share of each
    place = (of_class.cumcount() + 0.5) / of_class["predicted"].transform("size")
    return frame.loc[place.sort_values(kind="stable").index[:images].sort_values()]
