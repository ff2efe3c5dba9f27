"""What was seen of both versions in a window of time. None is not known, which is never the same as zero."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_DIGITS = 3  # of an HTTP status
_GAVE_UP = 499  # the caller did, at its deadline


@dataclass(frozen=True)
class Histogram:
    """How many values lie between bounds, as Prometheus's histograms tell it.

    Attributes:
        bounds: ascending upper bounds, inclusive, in the figure's unit; the last bucket has none.
        counts: of each bucket alone, not of it and all below: one more than bounds. Parts of one are allowed, since
            Prometheus's `increase` extrapolates.
    """

    bounds: tuple[float, ...]
    counts: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.counts) != len(self.bounds) + 1:
            raise ValueError(f"{len(self.bounds)} bounds make {len(self.bounds) + 1} buckets, not {len(self.counts)}.")
        if any(low >= high for low, high in pairwise(self.bounds)):
            raise ValueError("bounds must ascend.")
        _no_less_than_none(self.counts)

    @cached_property
    def total(self) -> float:
        """All values."""
        return sum(self.counts)

    @cached_property
    def above(self) -> Floats:
        """float64 (bounds,): how many values are above each bound."""
        return self.total - np.cumsum(self.counts)[:-1]

    def slower_than(self, limit: float) -> float:
        """How many values may be above a limit: all above the last bound that is not above the limit."""
        at = int(np.searchsorted(self.bounds, limit, side="right")) - 1
        return float(self.above[at]) if at >= 0 else self.total

    def quantile(self, share: float) -> float | None:
        """The value that a share of the values is at or below, as Prometheus's `histogram_quantile` tells it.

        Within a bucket values are taken to lie evenly, and the first one to begin at 0. A value beyond the last bound
        cannot be told, and is that bound: at least so much.

        Args:
            share: in [0, 1]; 0.99 gives P99.
        Returns:
            In the figure's unit; None where there is no value.
        """
        if not self.total or not self.bounds:
            return None
        upto = np.cumsum(self.counts)
        at = int(np.searchsorted(upto, max(share * self.total, np.nextafter(0, 1))))  # never one that is empty
        if at >= len(self.bounds):
            return self.bounds[-1]
        low = self.bounds[at - 1] if at else 0.0
        part = 1 - (upto[at] - share * self.total) / self.counts[at]
        return float(low + (self.bounds[at] - low) * part)


@dataclass(frozen=True)
class Agreement:
    """Of so many that two read, how many they read differently."""

    total: float
    different: float

    def __post_init__(self) -> None:
        _no_less_than_none((self.total, self.different, self.total - self.different))


@dataclass(frozen=True)
class Side:
    """One version in a window.

    Attributes:
        requests: by HTTP status; empty: it had none.
        seconds: that its requests took.
        predictions: images by predicted class, every class of the model among them.
        confidence: largest probability of its images.
        out_of_distribution: images that it says it was not trained for.
        readings: of its readings that a physician looked at, how many were not shared.
        drift: each statistic of `secondread_drift`.
        ready: whether its servers are.
        restarts: of its servers, since it was deployed; a splitter of a cluster does not know them.
        problem: why one of them ended or does not answer, where that is known; one line.
    """

    requests: Mapping[str, float] | None = None
    seconds: Histogram | None = None
    predictions: Mapping[str, float] | None = None
    confidence: Histogram | None = None
    out_of_distribution: float | None = None
    readings: Agreement | None = None
    drift: Mapping[str, float] | None = None
    ready: bool | None = None
    restarts: float | None = None
    problem: str = ""

    def __post_init__(self) -> None:
        if odd := [code for code in self.requests or () if not (code.isdecimal() and len(code) == _DIGITS)]:
            raise ValueError(f"requests are counted by HTTP status, such as 200, not by {', '.join(odd)}.")
        for counts in (self.requests, self.predictions):
            _no_less_than_none((counts or {}).values())
        _no_less_than_none(each for each in (self.out_of_distribution, self.restarts) if each is not None)

    @cached_property
    def total(self) -> float | None:
        """All requests; None where they are not known."""
        return None if self.requests is None else float(sum(self.requests.values()))

    @cached_property
    def failed(self) -> float | None:
        """Requests that failed: 5xx, and those whose caller gave up."""
        return self._of(lambda code: code >= HTTPStatus.INTERNAL_SERVER_ERROR or code == _GAVE_UP)

    @cached_property
    def refused(self) -> float | None:
        """Requests that were refused: the other 4xx."""
        return self._of(
            lambda code: HTTPStatus.BAD_REQUEST <= code < HTTPStatus.INTERNAL_SERVER_ERROR and code != _GAVE_UP
        )

    @cached_property
    def images(self) -> float | None:
        """All images that were read; None where they are not known."""
        return None if self.predictions is None else float(sum(self.predictions.values()))

    def _of(self, kind: Callable[[int], bool]) -> float | None:
        if self.requests is None:
            return None
        return float(sum(count for code, count in self.requests.items() if kind(int(code))))


@dataclass(frozen=True)
class Split:
    """Whose answers the callers got in a window, as whoever splits the traffic counts it.

    Attributes:
        stable: requests that the stable version answered.
        canary: requests that the new version answered.
        mirrored: requests that were sent to the new version as well, whose answers were dropped.
    """

    stable: float
    canary: float
    mirrored: float = 0.0

    def __post_init__(self) -> None:
        _no_less_than_none((self.stable, self.canary, self.mirrored))

    @property
    def canary_share(self) -> float:
        """Of the answers that the new version gave, 0 to 1; no number where nobody was asked."""
        return self.canary / total if (total := self.stable + self.canary) else math.nan


@dataclass(frozen=True)
class Observation:
    """A window of time.

    Attributes:
        start, end: seconds since 1970, by the clock of who observes.
        stable, canary: the two versions; None where nothing could be asked, such as of a Prometheus that is gone.
        split: of the traffic.
        shadow: of the mirrored images, how many the two read differently.
        checks: what a stage's checks came to, by name, once they have.
        faults: why those that failed have, by name.
    """

    start: float
    end: float
    stable: Side | None = None
    canary: Side | None = None
    split: Split | None = None
    shadow: Agreement | None = None
    checks: Mapping[str, bool] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.start < self.end:
            raise ValueError(f"a window must end after it starts, not from {self.start} to {self.end}.")

    @property
    def seconds(self) -> float:
        """That it lasted."""
        return self.end - self.start


def _no_less_than_none(counts: Iterable[float]) -> None:
    if any(not 0 <= count < math.inf for count in counts):
        raise ValueError("a count must be a number that is not negative.")
