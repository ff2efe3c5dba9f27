"""Step: put a table of readings where others find it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from secondread.config.score import ScoreConfig
from secondread.data.store.open import open_store
from secondread.errors import GateRefused
from secondread.pipeline.steps.begin import begin
from secondread.pipeline.success import recorded, verify_success, write_success
from secondread.serving.batch.deliver import deliver_readings


def deliver(readings: str, output: str, *, publish_to: str, unreadable_at_most: float) -> dict[str, Any]:
    """Store readings and their page. What is done already is not done again.

    Args:
        readings: what step `score` wrote.
        output: folder to write; it holds the record alone.
        publish_to: root of the store of readings.
        unreadable_at_most: the gate, asked again: see `ScoreConfig`.
    Returns:
        `uri` of the table, objects `sent` and `there`, and their `size` in bytes.
    """
    environment, folder, table = begin(), Path(output), Path(readings)
    with recorded("deliver", folder):
        scored = verify_success(table, step="score")
        refusal = ScoreConfig(unreadable_at_most).refusal(scored["unreadable"], scored["images"])
        if refusal:  # whatever the pipeline's condition did
            raise GateRefused(f"the gate refused these readings: {refusal}.")
        about = {name: scored[name] for name in ("images", "unreadable", "out_of_distribution", "model")}
        done = deliver_readings(table, open_store(publish_to, environment), about)
        folder.mkdir(parents=True, exist_ok=True)
        facts = asdict(done)
        write_success(folder, step="deliver", inputs={"readings": table}, facts=facts)
    return facts
