"""Every figure that `make bench` can measure: its key, what it says in words, and the function that measures it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks import data, phantom, quantize, scale, serve, train
from benchmarks.measure import Measurement
from benchmarks.workplace import Workplace
from secondread.errors import InputError


@dataclass(frozen=True)
class Benchmark:
    """Figures that come from one measurement.

    Attributes:
        measure: the function; it gives all of the figures.
        figures: key to what it says, for the table in the docs.
        apart: group that it is in, where it takes so long that it is run only when it is asked for; else empty.
    """

    measure: Callable[[Workplace], Sequence[Measurement]]
    figures: Mapping[str, str]
    apart: str = ""

    @property
    def group(self) -> str:
        """What `ONLY` names it by."""
        return self.apart or next(iter(self.figures)).split(".")[0]


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
    *(
        Benchmark(
            scale.at(images),
            {
                f"data.scale_{images}.seconds": f"{images:,} JPEG files to a published, audited version",
                f"data.scale_{images}.cpu_seconds": f"{images:,} JPEG files, the same: of all processors",
                f"data.scale_{images}.peak_rss_mib": f"{images:,} JPEG files, the same: memory at its peak",
            },
            apart="scale",
        )
        for images in scale.SIZES
    ),
)
WORDS: dict[str, str] = {key: words for benchmark in BENCHMARKS for key, words in benchmark.figures.items()}
KEYS = tuple(WORDS)
GROUPS = tuple(dict.fromkeys(benchmark.group for benchmark in BENCHMARKS))


def select(*, group: str = "", key: str = "") -> list[tuple[Benchmark, frozenset[str]]]:
    """The benchmarks to run, each with the keys that are wanted of it.

    Where neither is given, all but those that are run only when they are asked for.

    Raises:
        InputError: no such group or key.
    """
    if group and group not in GROUPS:
        raise InputError(f"there is no group '{group}': give one of {', '.join(GROUPS)}.")
    if key and key not in KEYS:
        raise InputError(f"there is no key '{key}': give one of {', '.join(KEYS)}.")
    if key:
        return [(each, frozenset({key})) for each in BENCHMARKS if key in each.figures]
    wanted = [each for each in BENCHMARKS if (each.group == group if group else not each.apart)]
    return [(each, frozenset(each.figures)) for each in wanted]
