"""What Prometheus knows of a version in a window of time, as the figures that are decided by.

What cannot be known is None, and never zero: a version that was not scraped, or a figure that has no series.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from functools import partial
from string import Template
from typing import Any

from secondread.config.observe import ObserveConfig
from secondread.errors import DependencyError, InputError
from secondread.logging import get_logger
from secondread.rollout.analysis.observations import Histogram, Side
from secondread.rollout.metrics.prometheus import Prometheus, Sample

log = get_logger(__name__)


def observe_side(config: ObserveConfig, name: str, version: str, *, start: float, end: float) -> Side | None:
    """One version's figures; those that whoever splits the traffic knows (`ready`, `restarts`) are left open.

    Args:
        config: where to ask, and what.
        name: of the model.
        version: of the model.
        start: of the window, seconds since 1970.
        end: likewise.
    Returns:
        None where nothing can be said: Prometheus does not answer, or with what cannot be, or has
            not read the version's servers lately.
    Raises:
        InputError: the name, the version or the namespace cannot stand in a query.
    """
    window = f"{max(1, round(1000 * (end - start)))}ms"
    placed = {"name": name, "version": version, "namespace": config.namespace}
    for said in placed.values():
        if not said or json.dumps(said, ensure_ascii=False) != f'"{said}"':
            raise InputError(f"'{said}' cannot stand in a query: names have no quotes, backslashes or line breaks.")
    prometheus = Prometheus(config.prometheus_url, timeout_seconds=config.timeout_seconds)

    def ask(query: str) -> list[Sample]:
        return prometheus.query(Template(query).substitute(placed, window=window), at=end)

    queries = config.queries

    def known(figure: str, read: Callable[[list[Sample]], Any]) -> Any:
        query = getattr(queries, figure)
        try:
            return getattr(Side(**{figure: read(ask(query))}), figure)
        except ValueError as error:
            raise DependencyError(
                f"what Prometheus says of observe.queries.{figure} cannot be, `{query}`: {error}"
            ) from error

    try:
        scraped = _one(ask(queries.scraped))
        if scraped is None or not end - scraped <= config.stale_seconds:  # no number is no time either
            log.warning("version %s of %s was not scraped within %g s", version, name, config.stale_seconds)
            return None
        return Side(
            requests=known("requests", partial(_by, label="code")),
            seconds=known("seconds", _histogram),
            predictions=known("predictions", partial(_by, label="label")),
            confidence=known("confidence", _histogram),
            out_of_distribution=known("out_of_distribution", _one),
            drift=known("drift", partial(_by, label="statistic")),
        )
    except DependencyError as error:
        log.error("%s", error)
        return None


def _one(samples: Sequence[Sample]) -> float | None:
    return samples[0].value if len(samples) == 1 and math.isfinite(samples[0].value) else None


def _by(samples: Sequence[Sample], label: str) -> dict[str, float] | None:
    """Values by a label; those that are no number are not known."""
    found = {each.labels[label]: each.value for each in samples if label in each.labels and math.isfinite(each.value)}
    return found or None


def _histogram(samples: Sequence[Sample]) -> Histogram | None:
    """From Prometheus's buckets, each of which counts all below it, too."""
    known = [each for each in samples if "le" in each.labels and math.isfinite(each.value)]
    buckets = sorted((float(each.labels["le"]), each.value) for each in known)
    if len(buckets) < 2 or buckets[-1][0] != math.inf:
        return None
    counts, below = [], 0.0
    for _, cumulative in buckets:
        # `increase` extrapolates each bucket by itself, so that one may be a hair below the one before
        counts.append(max(0.0, cumulative - below))
        below = max(below, cumulative)
    return Histogram(tuple(bound for bound, _ in buckets[:-1]), tuple(counts))
