"""The shares that are compared, as counts over windows: of requests by status and time, of images by what was said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from secondread.config.rollout import EvidenceConfig
from secondread.rollout.analysis import sequential
from secondread.rollout.analysis.observations import Agreement, Histogram, Observation, Side
from secondread.rollout.analysis.sequential import Floats

P99 = 0.99
# What a side says of a figure in a window: events, float64 (shares,), of how many; None where it is not known.
Said = tuple[Floats, float] | None


@dataclass(frozen=True)
class Shares:
    """One figure: a share or more, of both sides.

    Attributes:
        names: of each share, empty where there is but one.
        events, total: of the new version, float64 (shares,) and all of them.
        base_events, base_total: of the stable one; no total where the figure is the new version's alone.
        alike: float64 (shares,), how many count as one.
        tests: how many shares there are to choose these from.
        both_ways: less is as strange as more.
    """

    names: tuple[str, ...]
    events: Floats
    total: float
    base_events: Floats
    base_total: float
    alike: Floats
    tests: int
    both_ways: bool = False


def shares_of(figure: str, windows: Sequence[Observation], evidence: EvidenceConfig) -> Shares | None:
    """A figure over the windows in which it is known of both sides; None where there are none, or not of the last.

    Args:
        figure: of `compare.FIGURES`.
        windows: in their order, those that count.
        evidence: how many count as one, at least.
    """
    if figure == "disagreement":
        return _alone([_agreement(window.shadow) for window in windows], at_least=evidence.images_alike)
    names, says = _SAYS[figure](windows)
    floor = evidence.images_alike if figure in _OF_IMAGES else evidence.requests_alike
    said = [(says(window.canary), says(window.stable)) for window in windows]
    if not said or None in said[-1]:
        return None
    known = [(new, base) for new, base in said if new and base and new[1] and base[1]]
    if not known or len({each[0].shape for pair in known for each in pair}) > 1:  # histograms of other bounds
        return None
    new, base = _stacked([each for each, _ in known]), _stacked([each for _, each in known])
    if figure in _OF_TIMES:
        alike = sequential.alike_beside(*new, *base, sure=evidence.times_alike_sure)
    else:  # of the stable version alone: a new one that fails in bursts is not excused by them
        alike = np.maximum(floor, sequential.alike(*base))
    shares = Shares(
        names=names,
        events=new[0].sum(axis=0),
        total=float(new[1].sum()),
        base_events=base[0].sum(axis=0),
        base_total=float(base[1].sum()),
        alike=alike,
        tests=len(names),
        both_ways=figure in _BOTH_WAYS,
    )
    return _beyond_p99(shares) if figure == "tail" else shares


def _beyond_p99(shares: Shares) -> Shares:
    """Those of the bounds that all but one in a hundred of the stable version's requests keep."""
    at = shares.base_events <= (1 - P99) * shares.base_total
    names = tuple(name for name, kept in zip(shares.names, at, strict=True) if kept)
    kept = {name: getattr(shares, name)[at] for name in ("events", "base_events", "alike")}
    return replace(shares, names=names, **kept)


def _alone(said: Sequence[Said], *, at_least: float) -> Shares | None:
    known = [each for each in said if each and each[1]]
    if not known or said[-1] is None:
        return None
    events, totals = _stacked(known)
    alike = np.maximum(at_least, sequential.alike(events, totals))
    summed = events.sum(axis=0)
    return Shares(("",), summed, float(totals.sum()), np.zeros_like(summed), 0.0, alike, 1)


def _stacked(said: Sequence[tuple[Floats, float]]) -> tuple[Floats, Floats]:
    """Of all windows: events, float64 (windows, shares), and of how many, float64 (windows,)."""
    return np.stack([events for events, _ in said]), np.array([total for _, total in said])


def _errors(side: Side | None) -> Said:
    return (np.array([side.failed]), side.total) if side and side.total is not None else None


def _refused(side: Side | None) -> Said:
    return (np.array([side.refused]), side.total) if side and side.total is not None else None


def _histogram(side: Side | None, which: str) -> Said:
    histogram: Histogram | None = getattr(side, which, None)
    return (histogram.above, histogram.total) if histogram else None


def _classes(side: Side | None, labels: Sequence[str]) -> Said:
    if side is None or side.predictions is None or side.images is None:
        return None
    return np.array([side.predictions.get(label, 0.0) for label in labels]), side.images


def _outside(side: Side | None) -> Said:
    if side is None or side.out_of_distribution is None or side.images is None:
        return None
    return np.array([min(side.out_of_distribution, side.images)]), side.images


def _agreement(agreement: Agreement | None) -> Said:
    return (np.array([agreement.different]), agreement.total) if agreement else None


def _physicians(side: Side | None) -> Said:
    return _agreement(side.readings) if side else None


Says = Callable[[Side | None], Said]


def _one(says: Says) -> Callable[[Sequence[Observation]], tuple[tuple[str, ...], Says]]:
    return lambda _: (("",), says)


def _bounds(which: str) -> Callable[[Sequence[Observation]], tuple[tuple[str, ...], Says]]:
    def shares(windows: Sequence[Observation]) -> tuple[tuple[str, ...], Says]:
        histogram = next((h for w in reversed(windows) if w.canary and (h := getattr(w.canary, which))), None)
        return tuple(f"{bound:g}" for bound in histogram.bounds) if histogram else (), partial(_histogram, which=which)

    return shares


def _labels(windows: Sequence[Observation]) -> tuple[tuple[str, ...], Says]:
    """Of both versions: a class that one of them does not have it never says."""
    sides = [side for window in windows for side in (window.canary, window.stable) if side]
    labels = tuple(sorted({label for side in sides for label in side.predictions or ()}))
    return labels, partial(_classes, labels=labels)


_SAYS: dict[str, Callable[[Sequence[Observation]], tuple[tuple[str, ...], Says]]] = {
    "errors": _one(_errors),
    "refused": _one(_refused),
    "latency": _bounds("seconds"),
    "tail": _bounds("seconds"),
    "classes": _labels,
    "confidence": _bounds("confidence"),
    "outside": _one(_outside),
    "physicians": _one(_physicians),
}
_OF_TIMES = frozenset({"latency", "tail"})
_BOTH_WAYS = frozenset({"classes", "confidence", "outside"})
_OF_IMAGES = frozenset({"classes", "confidence", "outside", "physicians"})
