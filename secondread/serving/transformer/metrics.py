"""What the transformer counts, for Prometheus. Rollout, dashboards and alerts read these names."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Counter, Gauge, Histogram

from secondread.serving.protocol.interpret import Interpretation
from secondread.serving.transformer.admission import Admission

# Seconds. Dense around the limits that gates and rollout look at: 0.3 and 0.5.
_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0)
_SHARES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99, 1.0)

REQUEST_SECONDS = Histogram(
    "secondread_request_seconds",
    "Time of a request by stage: total, fetch (images by address), decode (bytes to pixels), predict (Triton).",
    ["name", "version", "stage"],
    buckets=_SECONDS,
)
# What a request may come to. Each is there from the start as 0: of a count that first shows as 1, Prometheus's
# `increase` knows nothing, and a version's first failure would be none.
_CODES = (200, 400, 401, 404, 408, 413, 499, 500, 503)

REQUESTS = Counter(
    "secondread_requests_total", "Requests by HTTP status, gRPC's included.", ["name", "version", "code"]
)
PREDICTIONS = Counter("secondread_predictions_total", "Images by predicted class.", ["name", "version", "label"])
CONFIDENCE = Histogram(
    "secondread_confidence", "Largest probability of an image.", ["name", "version"], buckets=_SHARES
)
OUT_OF_DISTRIBUTION = Counter(
    "secondread_out_of_distribution_total", "Images that the model was not trained for.", ["name", "version"]
)

DRIFT = Gauge(
    "secondread_drift",
    "How far the latest images are from val, by statistic (docs/monitoring.md); NaN where there are too few to tell.",
    ["name", "version", "statistic"],
)

REQUESTS_IN_FLIGHT = Gauge("secondread_requests_in_flight", "Requests that are being answered.", ["name", "version"])
BYTES_IN_FLIGHT = Gauge(
    "secondread_bytes_in_flight",
    "Bytes of requests that came, in part or whole, and are not answered.",
    ["name", "version"],
)


def watch_queue(admission: Admission, name: str, version: str, *, before: str = "") -> None:
    """Show what is in flight, as it is when someone looks.

    Args:
        admission: that counts it, for all versions together.
        name: of the model.
        version: under which it is shown: the current one.
        before: version under which it was shown until now; empty for none.
    """
    REQUESTS_IN_FLIGHT.labels(name, version).set_function(lambda: admission.requests)
    BYTES_IN_FLIGHT.labels(name, version).set_function(lambda: admission.bytes)
    if before not in ("", version):
        REQUESTS_IN_FLIGHT.remove(name, before)
        BYTES_IN_FLIGHT.remove(name, before)


class Measures:
    """The figures of one model version.

    Args:
        name: of the model.
        version: of the model.
        classes: names, so that a class that was never predicted shows as 0 and not as missing.
    """

    def __init__(self, name: str, version: str, classes: tuple[str, ...]) -> None:
        self._name, self._version = name, version
        self._seconds = {
            stage: REQUEST_SECONDS.labels(name, version, stage) for stage in ("total", "fetch", "decode", "predict")
        }
        for code in _CODES:
            REQUESTS.labels(name, version, str(code))
        self._predictions = {label: PREDICTIONS.labels(name, version, label) for label in classes}
        self._confidence = CONFIDENCE.labels(name, version)
        self._out_of_distribution = OUT_OF_DISTRIBUTION.labels(name, version)

    @contextmanager
    def stage(self, stage: str) -> Iterator[None]:
        """Time a stage of a request; one that fails is not timed."""
        started = time.perf_counter()
        yield
        self._seconds[stage].observe(time.perf_counter() - started)

    def request(self, code: int, seconds: float) -> None:
        """Count a finished request.

        Args:
            code: HTTP status.
            seconds: from its first byte to its answer.
        """
        REQUESTS.labels(self._name, self._version, str(code)).inc()
        self._seconds["total"].observe(seconds)

    def reading(self, reading: Interpretation) -> None:
        """Count what was said of the images of a request."""
        for label, confidence, outside in zip(
            reading.labels, reading.confidence, reading.out_of_distribution, strict=True
        ):
            self._predictions[label].inc()
            self._confidence.observe(float(confidence))
            if outside:
                self._out_of_distribution.inc()
