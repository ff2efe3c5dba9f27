"""Which graph is served: a rule on measured figures, as a pure function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from secondread.config.quantize import QuantizeConfig
from secondread.export.quantization.candidates import FP16, FP32
from secondread.export.quantization.latency import Latency, fastest
from secondread.export.quantization.parity import Parity

_SLACK = 1e-9  # a limit that is met exactly is met


@dataclass(frozen=True)
class Candidate:
    """One graph and what it costs.

    Attributes:
        name: as in `export.quantization.candidates`.
        accuracy: on val, in [0, 1].
        calibration_error: expected calibration error on val, in [0, 1].
        size_bytes: of the file.
        latency: batch size to times.
        parity: against fp32 on val.
        batch_dependence: largest change of a probability, in [0, 1], between an image asked alone and in a batch.
    """

    name: str
    accuracy: float
    calibration_error: float
    size_bytes: int
    latency: Mapping[int, Latency]
    parity: Parity
    batch_dependence: float

    def drop_points(self, fp32: Candidate) -> float:
        """Percentage points of accuracy that are lost; negative where some are won."""
        return 100 * (fp32.accuracy - self.accuracy)


@dataclass(frozen=True)
class Choice:
    """Which graph is served, and why.

    Attributes:
        name: of the candidate.
        reason: one sentence.
    """

    name: str
    reason: str


def choose(candidates: Sequence[Candidate], config: QuantizeConfig) -> Choice:
    """Pick the fastest graph (`latency.fastest`) of those that answer as well as fp32, if it is worth having another.

    It must save `latency_gain` of fp32's time on the first batch size, and its median be no higher than fp32's on any.

    Args:
        candidates: fp32 first; FP16 is not for this processor.
        config: how much may be lost, and how much time must be saved.
    """
    fp32, batch = candidates[0], config.batch_sizes[0]
    others = [item for item in candidates[1:] if item.name != FP16]
    faithful = [item for item in others if not shortcomings(item, fp32, config)]
    if not faithful:
        lost = "; ".join(f"{item.name} {shortcomings(item, fp32, config)}" for item in others) or "there is no other"
        return Choice(FP32, f"fp32 is kept: no other graph answers as well: {lost}.")
    fast = [
        item
        for item in faithful
        if all(item.latency[size].p50_ms <= fp32.latency[size].p50_ms for size in config.batch_sizes)
    ]
    if not fast:
        return Choice(FP32, "fp32 is kept: no graph that answers as well is faster at every batch size.")
    chosen = fastest({item.name: item.latency[batch] for item in fast})
    best = next(item for item in fast if item.name == chosen)
    ours, theirs = best.latency[batch], fp32.latency[batch]
    gain = 1 - ours.p50_ms / theirs.p50_ms
    points = 0.0 - best.drop_points(fp32)  # never "-0.00"
    figures = (
        f"{best.name} takes {ours.p50_ms:.2f} ms at batch {batch} (P99 {ours.p99_ms:.2f}) where fp32 takes "
        f"{theirs.p50_ms:.2f} ms (P99 {theirs.p99_ms:.2f}), {gain:.0%} less, and changes accuracy by "
        f"{points:+.2f} points"
    )
    if gain < config.latency_gain - _SLACK:
        return Choice(FP32, f"fp32 is kept: {figures}; {config.latency_gain:.0%} less is asked.")
    return Choice(best.name, f"{figures}.")


def choose_for_gpu(candidates: Sequence[Candidate], config: QuantizeConfig) -> Choice:
    """Pick FP16 where it answers as well as fp32. It is not timed: there need be no GPU here.

    Args:
        candidates: fp32 first.
        config: how much may be lost.
    """
    fp32 = candidates[0]
    half = next((item for item in candidates if item.name == FP16), None)
    if half is None:
        return Choice(FP32, "fp32 is kept for GPUs: there is no other graph for them.")
    if lost := shortcomings(half, fp32, config):
        return Choice(FP32, f"fp32 is kept for GPUs: {FP16} {lost}.")
    share = half.size_bytes / fp32.size_bytes
    return Choice(
        FP16,
        f"{FP16} answers as fp32 does on {half.parity.same_label:.1%} of val at {share:.0%} of its size; "
        "its speed on a GPU was not measured here, and a processor rounds its weights to 16 bits, not its sums.",
    )


def shortcomings(item: Candidate, fp32: Candidate, config: QuantizeConfig) -> str:
    """What of fp32's answers a graph loses beyond the limits; empty where nothing."""
    found = []
    # as what must hold, so that what is no number does not
    if not item.drop_points(fp32) <= config.accuracy_points + _SLACK:
        found.append(f"loses {item.drop_points(fp32):.2f} points of accuracy ({config.accuracy_points:g} allowed)")
    worse = item.calibration_error - fp32.calibration_error
    if not worse <= config.calibration_error + _SLACK:
        found.append(f"has {worse:.3f} more calibration error ({config.calibration_error:g} allowed)")
    if not item.parity.same_label >= config.agreement - _SLACK:
        found.append(f"agrees on {item.parity.same_label:.1%} of the images ({config.agreement:.0%} asked)")
    changed, allowed = item.parity.out_of_distribution_changed, config.turned_away_changed
    if not changed <= allowed + _SLACK:
        found.append(f"turns away other images, {changed:.1%} of them ({allowed:.0%} allowed)")
    if not item.batch_dependence <= config.batch_dependence:
        moved, allowed = item.batch_dependence, config.batch_dependence
        found.append(f"answers otherwise beside other images, by up to {moved:.4f} ({allowed:g} allowed)")
    return ", ".join(found)
