"""The shares that are compared, as counts over windows: of requests by status and time, of images by what was said."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from secondread.config.rollout import EvidenceConfig
from secondread.rollout import sequential
from secondread.rollout.observations import Agreement, Histogram, Observation, Side
from secondread.rollout.sequential import Floats

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
    known = [(new, base) for new, base in said if new is not None and base is not None]
    if len({each[0].shape for pair in known for each in pair}) > 1:
        return None  # histograms of other bounds
    events, total = _sums(new for new, _ in known)
    base_events, base_total = _sums(base for _, base in known)
    if not (total and base_total):
        return None
    by_window = np.stack([base[0] for _, base in known])
    alike = sequential.alike(by_window, np.array([base[1] for _, base in known]), at_least=floor)
    shares = Shares(names, events, total, base_events, base_total, alike, len(names), both_ways=figure in _BOTH_WAYS)
    return _beyond_p99(shares) if figure == "tail" else shares


def _beyond_p99(shares: Shares) -> Shares:
    """Those of the bounds that all but one in a hundred of the stable version's requests keep."""
    at = shares.base_events <= (1 - P99) * shares.base_total
    names = tuple(name for name, kept in zip(shares.names, at, strict=True) if kept)
    return replace(
        shares, names=names, events=shares.events[at], base_events=shares.base_events[at], alike=shares.alike[at]
    )


def _alone(said: Sequence[Said], *, at_least: float) -> Shares | None:
    known = [each for each in said if each is not None]
    if not known or said[-1] is None or not (sums := _sums(known))[1]:
        return None
    events, total = sums
    alike = sequential.alike(
        np.stack([each[0] for each in known]), np.array([each[1] for each in known]), at_least=at_least
    )
    return Shares(("",), events, total, np.zeros_like(events), 0.0, alike, 1)


def _sums(said: Iterable[tuple[Floats, float]]) -> tuple[Floats, float]:
    events, totals = zip(*said, strict=True)
    return np.sum(events, axis=0), float(sum(totals))


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
_BOTH_WAYS = frozenset({"classes", "confidence", "outside"})
_OF_IMAGES = frozenset({"classes", "confidence", "outside", "physicians"})
