"""How many synthetic images one core draws in a second, PNG included: `python benchmarks/phantom.py`."""

from __future__ import annotations

import argparse
import json
import time

from secondread.data.sources.phantom.source import PhantomSource


def images_per_second(*, size: int = 128, images: int = 600, repeats: int = 3) -> float:
    """Draw that many images of both modalities on one thread; the best of the repeats.

    Processor time, since the figure is per core: what else runs on the machine hardly changes it.
    """
    rates = []
    for seed in range(repeats):
        source = PhantomSource(f"phantom://demo?images={images}&size={size}&seed={seed}")
        start = time.process_time()
        for image in source.images():
            image.read()
        rates.append(images / (time.process_time() - start))
    return max(rates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=128, help="pixels of both sides")
    parser.add_argument("--images", type=int, default=600, help="images a repeat")
    arguments = parser.parse_args()
    rate = images_per_second(size=arguments.size, images=arguments.images)
    print(json.dumps({"images_per_second": round(rate, 1), "size": arguments.size, "n": arguments.images}))


if __name__ == "__main__":
    main()
