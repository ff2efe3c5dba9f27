"""A worklist as a folder. It is written once: a lot that is drawn anew is no lot.

worklist.json    the promise, the seed of the lot, the model, the counts, and the SHA-256 of worklist.csv
worklist.csv     a row a study: what both say, what becomes of it and why, its lot, whether it is audited
audit.csv        the drawn studies, without what anybody said of them: a physician fills in the column `label`
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from secondread.atomic import atomic_folder, read_json, sha256_file, write_json
from secondread.errors import InputError, IntegrityError
from secondread.evaluation.reading_room.model_readings import ModelReadings
from secondread.evaluation.reading_room.worklist import ClosingRule, Worklist, close_studies

WORKLIST_FILE = "worklist.json"
STUDIES_FILE = "worklist.csv"
AUDIT_FILE = "audit.csv"

_CLOSED, _ESCALATED = "closed", "escalated"


def write_worklist(worklist: Worklist, output: Path) -> dict[str, Any]:
    """Write a worklist; it appears whole or not at all.

    Returns:
        What `worklist.json` says.
    Raises:
        InputError: there is something already, or it cannot be written.
    """
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise InputError(
            f"{output} is there already: a worklist is written once, since a lot that is drawn anew is no lot. Choose "
            "another folder."
        )
    table = _table(worklist)
    with atomic_folder(output, marker=WORKLIST_FILE) as folder:
        table.to_csv(folder / STUDIES_FILE, index=False)
        form = table.loc[table["audit"] == "yes", ["image_id", "path"]].assign(label="")
        form.to_csv(folder / AUDIT_FILE, index=False)
        document = {
            "model": worklist.readings.model,
            "model_version": worklist.readings.version,
            "digest": worklist.readings.digest,
            "classes": list(worklist.readings.classes),
            "rule": worklist.rule.to_json(),
            "seed": worklist.seed,
            **worklist.counts(),
            "sha256": sha256_file(folder / STUDIES_FILE),
        }
        write_json(folder / WORKLIST_FILE, document)
    return document


def read_worklist(folder: Path) -> Worklist:
    """Read a worklist, decide every study and draw every lot once more, and hold that against what is written.

    Raises:
        IntegrityError: it is no worklist, is damaged, or was changed.
    """
    document = read_json(folder / WORKLIST_FILE)
    try:
        if sha256_file(folder / STUDIES_FILE) != document["sha256"]:
            raise IntegrityError(
                f"{folder / STUDIES_FILE} was changed after it was written. Make it again from the same readings, in "
                "another folder: the lot comes out the same."
            )
        table = pd.read_csv(folder / STUDIES_FILE, dtype=str, keep_default_na=False)
        readings = ModelReadings(
            model=str(document["model"]),
            version=str(document["model_version"]),
            digest=str(document["digest"]),
            classes=tuple(document["classes"]),
            image_ids=tuple(table["image_id"]),
            paths=tuple(table["path"]),
            labels=tuple(table["model"]),
            confidence=np.array([float(each or "nan") for each in table["confidence"]], np.float32),
            out_of_distribution=(table["out_of_distribution"] == "yes").to_numpy(),
        )
        rule = ClosingRule.from_json(document["rule"])
        found = close_studies(readings, tuple(table["first"]), rule, seed=str(document["seed"]))
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise IntegrityError(f"{folder} is a damaged worklist ({error}). Make it again in another folder.") from error
    if not _table(found).equals(table):
        raise IntegrityError(
            f"{folder} does not follow from its own rule and seed: other studies are closed or drawn than were to be. "
            "Make it again from the same readings, in another folder, and ask who changed it."
        )
    return found


def _table(worklist: Worklist) -> pd.DataFrame:
    """All of it as text, a row a study."""
    readings = worklist.readings
    return pd.DataFrame(
        {
            "image_id": readings.image_ids,
            "path": readings.paths,
            "first": worklist.first,
            "model": readings.labels,
            "confidence": ["" if np.isnan(each) else str(each) for each in readings.confidence],
            "out_of_distribution": ["yes" if each else "" for each in readings.out_of_distribution],
            "decision": [_ESCALATED if reason else _CLOSED for reason in worklist.reasons],
            "reason": worklist.reasons,
            "lot": ["" if np.isnan(each) else repr(float(each)) for each in worklist.lots],
            "audit": ["yes" if each else "" for each in worklist.drawn],
        },
        dtype=object,
    )
