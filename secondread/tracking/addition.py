"""Something that is added to a run that has ended: its status and times stay as they are.

As in training, all of it is written down on disk first, so that nothing fails or is lost because MLflow is away.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from secondread.tracking.record import RunRecord
from secondread.tracking.runs import open_client, without_password
from secondread.tracking.sender import Sender
from secondread.tracking.training_run import tell_how_to_complete


def add_to_run(uri: str, run_id: str, *, metrics: Mapping[str, float], left: Path) -> bool:
    """Add figures to a run. Doing it again changes nothing but when the figures were told.

    Args:
        uri: of MLflow.
        run_id: of a run that has ended.
        metrics: by name.
        left: folder for the record; it is there afterwards only where MLflow lacks some of it, to be sent with
            `secondread train track --complete`.
    Returns:
        Whether MLflow has everything. It is asked three times, for some seconds.
    """
    record = RunRecord.create(left, run_id=run_id, place=without_password(uri), addition=True)
    record.add_metrics(metrics, step=0)
    whole = Sender(lambda: open_client(uri), record).close(patient=True)
    if whole and record.is_sent():
        shutil.rmtree(left)
        return True
    tell_how_to_complete(record, left)
    return False
