"""Traffic of two versions, as a controller would see it: counts in windows, with recorded latencies and patients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from benchmarks.rollout_noise import RECORDED_RATE, recorded_seconds
from secondread.config.rollout import StageConfig
from secondread.rollout.analysis.observations import Histogram, Observation, Side, Split

# As secondread/serving/transformer/metrics.py has them.
SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0)
SHARES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99, 1.0)
# Of a reading room: mostly healthy, some classes rare.
CLASSES = {
    "cxr-normal": 0.52,
    "cxr-opacity": 0.26,
    "cxr-covid": 0.12,
    "cxr-viral-pneumonia": 0.08,
    "cxr-tuberculosis": 0.02,
}
OUTSIDE = 0.02  # share of images
STUDY = (0.5, 0.4, 0.1)  # share of studies with one, two, three films, which are read alike


@dataclass(frozen=True)
class Version:
    """How a version behaves.

    Attributes:
        slower: times as long as what was recorded takes each request.
        errors: share of requests that fail.
        tail: times as long as that take the slowest in a hundred; those from the slowest twenty on are stretched less.
    """

    slower: float = 1.0
    errors: float = 0.001
    tail: float = 1.0


GOOD = Version()


def windows(
    stage: StageConfig,
    new: Version,
    *,
    rate: float,
    interval: float,
    seed: Sequence[int],
    apart: bool,
    start: float = 0.0,
) -> Iterator[Observation]:
    """Windows without end of a stage.

    Args:
        stage: how the traffic is split.
        new: the new version; the stable one is good.
        rate: requests a second of the service, one film each.
        interval: seconds of a window.
        seed: of everything.
        apart: the versions run on machines whose bad minutes are not the same.
        start: of the first window, in seconds.
    """
    generator = np.random.default_rng(seed)
    at, base_at = generator.uniform(0, 1e6, size=2) if apart else [generator.uniform(0, 1e6)] * 2  # of the recording
    while True:
        answered = generator.poisson(rate * interval)
        canary = int(generator.binomial(answered, stage.traffic_percent / 100))
        mirrored = int(generator.binomial(answered, stage.mirror_percent / 100))
        yield Observation(
            start,
            start + interval,
            stable=_side(GOOD, answered - canary, _stretch(GOOD, base_at, interval), generator),
            canary=_side(new, canary + mirrored, _stretch(new, at, interval), generator),
            split=Split(float(answered - canary), float(canary), float(mirrored)),
            checks=dict.fromkeys(stage.checks, True),
        )
        start, at, base_at = start + interval, at + interval, base_at + interval


def _side(version: Version, requests: int, times: npt.NDArray[np.float64], generator: np.random.Generator) -> Side:
    failed = int(generator.binomial(requests, version.errors))
    films = requests - failed
    studies = generator.multinomial(films, _STUDIES)  # films of studies of one, two, three
    labels = sum(_alike(count, size, _PRIORS, generator) for size, count in enumerate(studies, start=1))
    confidence = sum(_alike(count, size, _CONFIDENCE, generator) for size, count in enumerate(studies, start=1))
    return Side(
        requests={"200": float(films), "500": float(failed)},
        seconds=Histogram(SECONDS, tuple(map(float, generator.multinomial(requests, times)))),
        predictions=dict(zip(CLASSES, map(float, np.asarray(labels)), strict=True)),
        confidence=Histogram(SHARES, tuple(map(float, np.asarray(confidence)))),
        out_of_distribution=float(generator.binomial(films, OUTSIDE)),
        drift={"predictions_psi": float(generator.uniform(0, 0.1)), "confidence_psi": float(generator.uniform(0, 0.1))},
        ready=True,
        restarts=0.0,
    )


def _alike(
    films: int, size: int, shares: npt.NDArray[np.float64], generator: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Films of studies of a size, all of a study in one bucket; a study that the window cuts is cut."""
    whole, rest = divmod(int(films), size)
    return np.asarray(generator.multinomial(whole, shares) * size + generator.multinomial(int(rest > 0), shares) * rest)


def _stretch(version: Version, at: float, seconds: float) -> npt.NDArray[np.float64]:
    """Shares of the buckets in a stretch of the recording, which begins anew at its end: float64 (buckets,)."""
    before = _recording(version)
    most = len(before) - 1
    first = round(at * RECORDED_RATE) % most
    length = round(seconds * RECORDED_RATE)
    rounds, last = divmod(first + length, most)
    counts = before[last] - before[first] + rounds * before[-1]
    return np.asarray(counts / length)


@lru_cache
def _recording(version: Version) -> npt.NDArray[np.float64]:
    """float64 (requests + 1, buckets): how many of the requests before each lie in each bucket."""
    seconds = recorded_seconds()
    rank = np.argsort(np.argsort(seconds)) / seconds.size
    stretched = 1 + (version.tail - 1) * np.clip((rank - 0.95) / 0.04, 0, 1)
    bucket = np.searchsorted(SECONDS, seconds * version.slower * stretched, side="left")
    return np.vstack([np.zeros(len(SECONDS) + 1), np.cumsum(np.eye(len(SECONDS) + 1)[bucket], axis=0)])


def _confidence_shares() -> npt.NDArray[np.float64]:
    """Of a model that is mostly sure, per bucket of `SHARES`."""
    drawn = np.random.default_rng(0).beta(6, 1.2, 100_000)
    return np.histogram(drawn, bins=[0.0, *SHARES, 2.0])[0] / drawn.size


_PRIORS = np.array(list(CLASSES.values()))
_CONFIDENCE = _confidence_shares()
_STUDIES = np.array([share * size for size, share in enumerate(STUDY, start=1)])
_STUDIES /= _STUDIES.sum()
