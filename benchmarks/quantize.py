"""What INT8 gives on this CPU: `secondread quantize` on a model that was really trained."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import Measurement
from benchmarks.workplace import Workplace
from secondread.config.quantize import QuantizeConfig

if TYPE_CHECKING:
    from secondread.export.quantize import Candidate, QuantizeResult

CONFIG = QuantizeConfig(batch_sizes=(1, 8))


def int8(place: Workplace) -> Sequence[Measurement]:
    """Speed, accuracy and size of the INT8 graph that was chosen, or would be if fp32 had not been kept."""
    from secondread.export.quantize import quantize

    with tempfile.TemporaryDirectory() as folder:
        result = quantize(place.trained.model, place.trained.dataset, Path(folder, "model"), CONFIG)
    fp32, candidate = result.candidates[0], best_candidate(result)
    chosen = "chosen" if candidate.name == result.choice.name else "the fastest static graph; fp32 was kept"
    peer = f"its own fp32 graph ({place.trained.name}); INT8 graph {candidate.name}, {chosen}"
    speedups = [
        Measurement(
            f"quantize.int8.speedup_batch_{size}",
            fp32.latency_ms[size] / candidate.latency_ms[size],
            "x",
            peer,
            CONFIG.timed_runs,
        )
        for size in CONFIG.batch_sizes
    ]
    drop = Measurement("quantize.int8.accuracy_drop_points", candidate.drop_points(fp32), "points", peer, result.n)
    share = Measurement("quantize.int8.size_share", candidate.size_bytes / fp32.size_bytes, "share", peer, 1)
    return [*speedups, drop, share]


def best_candidate(result: QuantizeResult) -> Candidate:
    """The graph that was chosen; where fp32 was kept, the static one that is fastest at batch 1."""
    from secondread.export.int8 import STATIC, STATIC_LINEAR, STATIC_SIGNED

    by_name = {item.name: item for item in result.candidates}
    if result.choice.name != result.candidates[0].name:
        return by_name[result.choice.name]
    static = [by_name[name] for name in (STATIC, STATIC_LINEAR, STATIC_SIGNED)]
    return min(static, key=lambda item: item.latency_ms[CONFIG.batch_sizes[0]])
