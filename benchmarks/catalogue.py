"""Every figure that `make bench` can measure: its key, what it says in words, and the function that measures it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks import data, phantom, quantize, serve, train
from benchmarks.measure import Measurement
from benchmarks.workplace import Workplace
from secondread.errors import InputError


@dataclass(frozen=True)
class Benchmark:
    """Figures that come from one measurement.

    Attributes:
        measure: the function; it gives all of the figures.
        figures: key to what it says, for the table in the docs.
    """

    measure: Callable[[Workplace], Sequence[Measurement]]
    figures: Mapping[str, str]


BENCHMARKS = (
    Benchmark(
        data.decode_64,
        {
            "data.decode_64.speedup_vs_pillow": "Preparing JPEG films at 64 px: how many times faster, one thread",
            "data.decode_64.speedup_vs_pillow_bilinear": "The same at 64 px, where Pillow takes our filter too",
            "data.decode_64.share_of_libjpeg_turbo": "Preparing JPEG films at 64 px: share of bare decoding's rate",
        },
    ),
    Benchmark(
        data.decode_224,
        {
            "data.decode_224.speedup_vs_pillow": "Preparing JPEG films at 224 px: how many times faster, one thread",
            "data.decode_224.speedup_vs_pillow_bilinear": "The same at 224 px, where Pillow takes our filter too",
            "data.decode_224.share_of_libjpeg_turbo": "Preparing JPEG films at 224 px: share of bare decoding's rate",
        },
    ),
    Benchmark(
        data.epoch_read,
        {"data.epoch_read.speedup_vs_image_folder": "Reading one epoch of training batches: how many times faster"},
    ),
    Benchmark(
        phantom.phantom_128,
        {"data.phantom_128.images_per_second": "Drawing phantoms of 128 px: images a second on one core"},
    ),
    Benchmark(
        train.images_per_second,
        {"train.images_per_second": "Training the default preset: images a second"},
    ),
    Benchmark(
        train.speedup_vs_seed_config,
        {"train.speedup_vs_seed_config": "Training the default preset: how many times the seed's images a second"},
    ),
    Benchmark(
        quantize.int8,
        {
            "quantize.int8.speedup_batch_1": "INT8, one image: how many times faster than fp32",
            "quantize.int8.speedup_batch_8": "INT8, eight images: how many times faster than fp32",
            "quantize.int8.accuracy_drop_points": "INT8: percentage points of accuracy lost (below 0: won)",
            "quantize.int8.size_share": "INT8: size of the file as a share of fp32's",
        },
    ),
    Benchmark(
        serve.p50_over_bare,
        {"serve.p50_over_bare": "Median time of a request over that of the bare work: 1 would be no overhead"},
    ),
    Benchmark(
        serve.rate_vs_fastapi,
        {"serve.rate_vs_fastapi": "Answers a second under load: how many times as many"},
    ),
)
WORDS: dict[str, str] = {key: words for benchmark in BENCHMARKS for key, words in benchmark.figures.items()}
KEYS = tuple(WORDS)
GROUPS = tuple(dict.fromkeys(key.split(".")[0] for key in KEYS))


def select(*, group: str = "", key: str = "") -> list[tuple[Benchmark, frozenset[str]]]:
    """The benchmarks to run, each with the keys that are wanted of it; all where neither is given.

    Raises:
        InputError: no such group or key.
    """
    if group and group not in GROUPS:
        raise InputError(f"there is no group '{group}': give one of {', '.join(GROUPS)}.")
    if key and key not in KEYS:
        raise InputError(f"there is no key '{key}': give one of {', '.join(KEYS)}.")
    wanted = {each for each in KEYS if (not group or each.startswith(f"{group}.")) and key in ("", each)}
    selected = [(benchmark, frozenset(wanted & set(benchmark.figures))) for benchmark in BENCHMARKS]
    return [(benchmark, keys) for benchmark, keys in selected if keys]
