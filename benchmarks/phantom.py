"""How many synthetic images one core draws in a second, PNG included."""

from __future__ import annotations

import time
from collections.abc import Sequence

from benchmarks.measure import Measurement
from benchmarks.workplace import Workplace
from secondread.data.sources.phantom.source import PhantomSource

IMAGES = 600
REPEATS = 3


def phantom_128(_: Workplace) -> Sequence[Measurement]:
    """Images of both modalities at 128 pixels."""
    rate = images_per_second(size=128)
    note = "none; processor time of one core, PNG included"
    return [Measurement("data.phantom_128.images_per_second", rate, "images/s", note, IMAGES * REPEATS)]


def images_per_second(*, size: int) -> float:
    """Draw images of both modalities on one thread; the best of the repeats.

    Processor time, since the figure is per core: what else runs on the machine hardly changes it.
    """
    rates = []
    for seed in range(REPEATS):
        source = PhantomSource(f"phantom://demo?images={IMAGES}&size={size}&seed={seed}")
        start = time.process_time()
        for image in source.images():
            image.read()
        rates.append(IMAGES / (time.process_time() - start))
    return max(rates)
