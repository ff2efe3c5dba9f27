"""Every figure that `make bench` can measure: its key, what it says in words, and the function that measures it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks import (
    data,
    edge,
    evaluate,
    phantom,
    quantize,
    rollout,
    rollout_live,
    scale,
    serve,
    serve_parts,
    train,
    train_accuracy,
    train_gpu,
    train_memory,
)
from benchmarks.measure import Measurement
from benchmarks.servers import MLSERVER_NEEDS, mlserver_missing
from benchmarks.workplace import Workplace
from secondread.errors import InputError


@dataclass(frozen=True)
class Benchmark:
    """Figures that come from one measurement.

    Attributes:
        measure: the function; it gives all of the figures.
        figures: key to what it says, for the table in the docs.
        apart: group that it is in, where it takes so long that it is run only when it is asked for; else empty.
        needs: what it cannot do without, where that is not everywhere; else empty.
        missing: says of this machine that it is not there; else empty. Such a figure is passed over.
    """

    measure: Callable[[Workplace], Sequence[Measurement]]
    figures: Mapping[str, str]
    apart: str = ""
    needs: str = ""
    missing: Callable[[], str] = str

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
        train.at(64),
        {
            "train.milliseconds_per_image_64": "Training the default preset at 64 px: time an image",
            "train.data_wait_share": "Training at 64 px: share of the time that steps wait for data",
        },
    ),
    Benchmark(
        train.at(96),
        {
            "train.images_per_second": "Training the default preset: images a second",
            "train.milliseconds_per_image_96": "Training the default preset at 96 px: time an image",
        },
    ),
    Benchmark(
        train.at(224),
        {"train.milliseconds_per_image_224": "Training the default preset at 224 px: time an image"},
    ),
    Benchmark(
        train.speedup_vs_seed_config,
        {
            "train.speedup_vs_seed_config": "Training at 64 px: how many times as fast as the seed's network",
            "train.speedup_vs_seed_preset": "Training at 64 px: the same against our own preset of that network",
        },
    ),
    *(
        Benchmark(
            train_memory.at(batch_size),
            {f"train.peak_memory_mib_batch_{batch_size}": f"Training in batches of {batch_size}: memory at its peak"},
        )
        for batch_size in train_memory.BATCH_SIZES
    ),
    Benchmark(
        train_accuracy.minus_seed_config,
        {
            "train.accuracy_minus_seed_config_points": "Accuracy minus the seed's network's, after as many epochs",
            "train.accuracy_minus_seed_config_low_points": "The same accuracy: lower end of the 95 % interval",
        },
        apart="accuracy",
    ),
    Benchmark(
        train_gpu.throughput,
        {
            "train.gpu.images_per_second": "Training at 64 px on one GPU: images a second",
            "train.gpu.share_of_bf16_peak": "Training at 64 px on one GPU: share of its bf16 peak",
        },
        needs=train_gpu.NEEDS,
        missing=train_gpu.missing,
    ),
    Benchmark(
        train_gpu.seconds_to_seed_accuracy,
        {"train.gpu.seconds_to_seed_accuracy": "One GPU: from the first step to the seeds' accuracy on val"},
        needs=train_gpu.NEEDS,
        missing=train_gpu.missing,
    ),
    Benchmark(
        evaluate.report,
        {"evaluate.report_seconds": "The whole evaluation report, page and card"},
    ),
    Benchmark(
        quantize.speed_and_answers,
        {
            "quantize.int8.speedup_batch_1": "INT8, one image: how many times faster than fp32",
            "quantize.int8.speedup_batch_8": "INT8, eight images: how many times faster than fp32",
            "quantize.int8.one_thread.speedup_batch_1": "INT8, one image, one thread: likewise",
            "quantize.int8.one_thread.speedup_batch_8": "INT8, eight images, one thread: likewise",
            "quantize.int8.size_share": "INT8: size of the file as a share of fp32's",
            "quantize.int8.accuracy_drop_points": "INT8: percentage points of accuracy lost (below 0: won)",
            "quantize.int8.changed_share": "INT8: share of images that it alone, or fp32 alone, gets right",
            "quantize.int8.one_thread.accuracy_drop_points": "INT8, one thread's choice: points of accuracy lost",
            "export.fused.speedup": "fp32 with fused attention, one image: how many times faster",
            "export.fused.speedup_batch_8": "fp32 with fused attention, eight images: how many times faster",
            "export.fused.one_thread.speedup": "fp32, fused attention, one image, one thread: likewise",
            "export.fused.one_thread.speedup_batch_8": "fp32, fused attention, eight images, one thread: likewise",
            "export.fused.size_share": "fp32 with fused attention: size of the file as a share of the plain one's",
        },
    ),
    Benchmark(
        serve.p50_over_bare,
        {
            "serve.p50_over_bare": "Median time of a request over that of the bare work: 1 would be no overhead",
            "serve.seed.p50_over_bare": "The same of the seed's network",
        },
    ),
    Benchmark(
        serve.cpu_over_bare,
        {
            "serve.cpu_per_request_over_bare": "Processor time of an answer under load over that of the bare work",
            "serve.seed.cpu_per_request_over_bare": "The same of the seed's network",
        },
    ),
    Benchmark(
        serve_parts.p50_over_parts,
        {"serve.p50_over_parts": "Median time of a request over that of its parts: decoding, Triton, gRPC in Python"},
    ),
    Benchmark(
        serve_parts.cpu_over_parts,
        {"serve.cpu_per_request_over_parts": "Processor time of an answer under load over that of its parts"},
    ),
    Benchmark(
        serve.rate_vs_fastapi,
        {"serve.rate_vs_fastapi": "Answers a second with a P99 below 300 ms: how many times FastAPI's"},
    ),
    Benchmark(
        serve.rate_vs_mlserver,
        {"serve.rate_vs_mlserver": "Answers a second with a P99 below 300 ms: how many times MLServer's"},
        needs=MLSERVER_NEEDS,
        missing=mlserver_missing,
    ),
    Benchmark(
        serve.limit_rps,
        {"serve.limit_rps": "The highest rate of answers with a P99 below 300 ms, and none above 500 ms"},
    ),
    Benchmark(
        edge.base_install,
        {
            "edge.installed_mib": "Installed without extras: all packages together",
            "edge.first_prediction_seconds": "Installed without extras: a film read by a new process",
        },
    ),
    Benchmark(
        rollout.good_versions,
        {
            "rollout.aa_false_rollback_share": "Simulated rollouts of good versions: share that is rolled back",
            "rollout.good_promoted_share": "Simulated rollouts of good versions: share promoted in the planned time",
        },
    ),
    *(
        Benchmark(
            rollout.caught(fault),
            {f"rollout.bad_caught_share.{fault}": f"Simulated rollouts, {words}: share caught in time"},
        )
        for fault, words in {
            "twice_p99": "every request takes twice as long",
            "errors_5_percent": "5 points more requests fail",
        }.items()
    ),
    Benchmark(
        rollout_live.live,
        {
            **{
                f"rollout.{figure}.{fault}": f"Real rollouts, {words}: {what}"
                for fault, words in rollout_live.WORDS.items()
                if fault
                for figure, what in {
                    "harmed_share": "share of all requests that the new version answered",
                    "seconds_to_rollback": "seconds from its first request until it is gone",
                }.items()
                if (fault, figure) != ("crash", "seconds_to_rollback")  # it has no first request
            },
            "rollout.harmed_share_checked": "Real rollouts with checks and mirrored requests: the most harmed",
            "rollout.stable_failed_share": "Real rollouts: share of the requests that the stable version failed",
            "rollout.bad_rolled_back_share": "Real rollouts of bad versions: share that is rolled back",
        },
        apart="rollout-live",
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
# Why a figure may not be there: what it needs, or that it is measured only when it is asked for.
UNMEASURED: dict[str, str] = {
    key: f"needs {each.needs}" if each.needs else f"takes long: `make bench ONLY={each.apart}`" if each.apart else ""
    for each in BENCHMARKS
    for key in each.figures
}
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
