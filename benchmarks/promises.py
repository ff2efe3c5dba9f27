"""What figures are held to. A figure that misses its bound is called so in the docs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Promise:
    """A bound of one figure.

    Attributes:
        side: which side of the bound it may be on.
        bound: in the figure's unit.
    """

    side: Literal["at least", "at most"]
    bound: float

    def kept(self, value: float) -> bool:
        """Whether a figure keeps it."""
        return value >= self.bound if self.side == "at least" else value <= self.bound


PROMISED = {
    "train.data_wait_share": Promise("at most", 0.03),
    "train.speedup_vs_seed_config": Promise("at least", 8.0),
    "train.accuracy_minus_seed_config_low_points": Promise("at least", -1.0),  # not worse by a point
    "evaluate.report_seconds": Promise("at most", 300),
    "quantize.int8.speedup_batch_1": Promise("at least", 1.8),
    "quantize.int8.speedup_batch_8": Promise("at least", 2.2),
    "quantize.int8.one_thread.speedup_batch_1": Promise("at least", 1.8),
    "quantize.int8.one_thread.speedup_batch_8": Promise("at least", 2.2),
    "quantize.int8.size_share": Promise("at most", 0.30),
    "quantize.int8.accuracy_drop_points": Promise("at most", 0.5),
    "quantize.int8.one_thread.accuracy_drop_points": Promise("at most", 0.5),
    "export.fused.speedup": Promise("at least", 1.15),
    "export.fused.one_thread.speedup": Promise("at least", 1.15),
    "edge.installed_mib": Promise("at most", 300),
    "edge.first_prediction_seconds": Promise("at most", 1.5),
    "serve.p50_over_bare": Promise("at most", 1.6),
    "serve.cpu_per_request_over_bare": Promise("at most", 1.8),
    "serve.seed.p50_over_bare": Promise("at most", 1.6),
    "serve.seed.cpu_per_request_over_bare": Promise("at most", 1.8),
    "serve.rate_vs_fastapi": Promise("at least", 1.0),
    "serve.rate_vs_mlserver": Promise("at least", 1.0),
    "rollout.aa_false_rollback_share": Promise("at most", 0.01),
    "rollout.good_promoted_share": Promise("at least", 0.95),
    "rollout.bad_caught_share.twice_p99": Promise("at least", 0.99),
    "rollout.bad_caught_share.errors_5_percent": Promise("at least", 0.99),
    "rollout.harmed_share_checked": Promise("at most", 0.0),
    "rollout.stable_failed_share": Promise("at most", 0.0),
    "rollout.bad_rolled_back_share": Promise("at least", 1.0),
}
