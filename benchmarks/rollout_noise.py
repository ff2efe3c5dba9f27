"""Records the latency noise that simulated rollouts are made of: requests to one real server, one after the other.

    .venv/bin/python -m benchmarks.rollout_noise --seconds 600

Four callers send films over REST, each thinking for an exponential time before it asks again. What each request took
goes to `rollout_noise.npy` in the order in which they ended, so that slow requests stay beside slow ones: noise that is
shuffled is quieter than a server's.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.callers import Caller, v2_request
from benchmarks.servers import our_server
from benchmarks.workplace import ROOT, Workplace
from secondread import logging
from secondread.atomic import atomic_file
from secondread.config.environment import Environment

RECORDED = ROOT / "benchmarks" / "rollout_noise.npy"
TICK_SECONDS = 1e-4  # of the file's whole numbers: uint16 reaches 6.5 s
_CALLERS, _THINK_SECONDS = 4, 0.2  # some 20 requests a second: an archive that sends film after film
RECORDED_RATE = 19.3  # requests a second that came of it: 11,657 in 600 s, some of them of a busy server
_IMAGES = 48
_WARM_UP = 100  # requests that are not kept


def main() -> None:
    """Record, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0, help="of load (default: 600)")
    seconds = parser.parse_args().seconds
    logging.configure()
    place = Workplace(Environment.read().home / "bench")
    place.home.mkdir(parents=True, exist_ok=True)
    recorded = record(place, seconds)
    ticks = np.clip(np.rint(recorded / TICK_SECONDS), 0, np.iinfo(np.uint16).max).astype(np.uint16)
    with atomic_file(RECORDED) as aside, aside.open("wb") as file:
        np.save(file, ticks)
    p50, p99 = 1e3 * np.percentile(recorded, [50, 99])
    print(f"{RECORDED}: {recorded.size} requests in {seconds:.0f} s, P50 {p50:.1f} ms, P99 {p99:.1f} ms")


def record(place: Workplace, seconds: float) -> npt.NDArray[np.float64]:
    """Put load on a server of its own.

    Returns:
        float64 (requests,), seconds that each took, in the order in which they ended.
    Raises:
        DependencyError: the server does not start, or a request failed.
    """
    requests = [v2_request([image]) for image in place.films.encoded(_IMAGES)]
    times: list[float] = []
    with tempfile.TemporaryDirectory() as work, our_server(place.trained_served.model, Path(work)) as server:
        end = time.monotonic() + seconds

        def call(number: int) -> None:
            pace, caller = random.Random(number), Caller(server.address)  # noqa: S311 - a caller's pace is no secret
            while time.monotonic() < end:
                times.append(caller.ask(pace.choice(requests)))
                time.sleep(pace.expovariate(1 / _THINK_SECONDS))
            caller.close()

        threads = [threading.Thread(target=call, args=(number,)) for number in range(_CALLERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return np.array(times[_WARM_UP:])


def recorded_seconds(path: Path = RECORDED) -> npt.NDArray[np.float64]:
    """What was recorded: float64 (requests,), seconds, in the order in which the requests ended."""
    return np.load(path, allow_pickle=False) * TICK_SECONDS


if __name__ == "__main__":
    main()
