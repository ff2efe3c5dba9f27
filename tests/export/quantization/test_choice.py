"""The choice of a graph, as a pure function of measured figures."""

import pytest

from secondread.config.quantize import QuantizeConfig
from secondread.export.quantization.choice import Candidate, choose, choose_for_gpu
from secondread.export.quantization.latency import Latency
from secondread.export.quantization.parity import Parity

CONFIG = QuantizeConfig(batch_sizes=(1, 8))


def candidate(
    name: str,
    accuracy: float,
    one: float,
    eight: float = 10.0,
    *,
    error: float = 0.05,
    same: float = 1.0,
    p50: float | None = None,
    in_a_row: bool = False,
    size: int = 1,
    turned: float = 0.0,
    batch_dependence: float = 0.0,
) -> Candidate:
    """`one` is the P99 at batch 1, and its median too unless `p50` says another; `eight` both at batch 8.

    One run in ten takes as long as the P99: one here and one there, or all of them `in_a_row`.
    """
    usual = one if p50 is None else p50
    taken = [usual] * 50 + [one] * 10 + [usual] * 40 if in_a_row else ([usual] * 9 + [one]) * 10
    latency = {1: Latency(tuple(taken)), 8: Latency((eight,) * 100)}
    return Candidate(name, accuracy, error, size, latency, Parity(same, 0, 0, turned), batch_dependence)


FP32 = candidate("fp32", 0.900, 10.0)


@pytest.mark.parametrize(
    ("others", "chosen"),
    [
        # the lowest P99 of those that are accurate enough
        ([candidate("a", 0.900, 5.0), candidate("b", 0.898, 4.0)], "b"),
        ([candidate("a", 0.900, 5.0), candidate("b", 0.890, 2.0)], "a"),
        # the P99 counts, not the median
        ([candidate("a", 0.900, 5.0, p50=4.9), candidate("b", 0.900, 6.0, p50=1.0)], "a"),
        # unless chance alone tells the P99 apart
        ([candidate("a", 0.900, 5.0, p50=4.9), candidate("b", 0.900, 6.0, p50=1.0, in_a_row=True)], "b"),
        # 0.5 points are allowed, more are not
        ([candidate("a", 0.895, 5.0)], "a"),
        ([candidate("a", 0.8949, 5.0)], "fp32"),
        # 0.01 of calibration error is allowed, more is not; less than fp32's is no fault
        ([candidate("a", 0.900, 5.0, error=0.06)], "a"),
        ([candidate("a", 0.900, 5.0, error=0.0601)], "fp32"),
        ([candidate("a", 0.900, 5.0, error=0.0)], "a"),
        # 99 % of the images must get the same class, however accurate it is
        ([candidate("a", 0.900, 5.0, same=0.99)], "a"),
        ([candidate("a", 0.950, 5.0, same=0.989)], "fp32"),
        # 2 % may be turned away by one and not by the other
        ([candidate("a", 0.900, 5.0, turned=0.02)], "a"),
        ([candidate("a", 0.900, 5.0, turned=0.021)], "fp32"),
        # what else is in the batch may move a probability by a ten-thousandth
        ([candidate("a", 0.900, 5.0, batch_dependence=0.0001)], "a"),
        ([candidate("a", 0.900, 5.0, batch_dependence=0.00011)], "fp32"),
        # 10 % less time is enough, 9.9 % is not
        ([candidate("a", 0.900, 9.0)], "a"),
        ([candidate("a", 0.900, 9.01)], "fp32"),
        ([candidate("a", 0.900, 12.0)], "fp32"),
        # better accuracy does not pay for time
        ([candidate("a", 0.950, 9.5)], "fp32"),
        # a batch must not get slower
        ([candidate("a", 0.900, 5.0, 10.1)], "fp32"),
        ([candidate("a", 0.900, 4.0, 10.1), candidate("b", 0.900, 6.0, 9.9)], "b"),
        # fp32 with fused attention is one of them
        ([candidate("fused", 0.900, 7.0), candidate("a", 0.8, 3.0)], "fused"),
        # FP16 is never for a processor
        ([candidate("fp16", 0.900, 1.0)], "fp32"),
        ([], "fp32"),
    ],
)
def test_the_fastest_that_answers_as_well_wins_if_it_is_worth_it(others: list[Candidate], chosen: str) -> None:
    assert choose([FP32, *others], CONFIG).name == chosen


def test_the_choice_says_why() -> None:
    won = choose([FP32, candidate("static", 0.897, 5.0)], CONFIG)
    assert won.reason == (
        "static takes 5.00 ms at batch 1 (P99 5.00) where fp32 takes 10.00 ms (P99 10.00), 50% less, "
        "and changes accuracy by -0.30 points."
    )
    lossy = choose([FP32, candidate("static", 0.5, 1.0, same=0.6)], CONFIG).reason
    assert "static loses 40.00 points of accuracy (0.5 allowed), agrees on 60.0% of the images (99% asked)" in lossy
    unsure = choose([FP32, candidate("static", 0.9, 1.0, error=0.15)], CONFIG).reason
    assert "static has 0.100 more calibration error (0.01 allowed)" in unsure
    assert "10% less is asked" in choose([FP32, candidate("static", 0.9, 9.5)], CONFIG).reason
    assert "faster at every batch size" in choose([FP32, candidate("static", 0.9, 11.0)], CONFIG).reason


def test_limits_can_be_set() -> None:
    table = [FP32, candidate("static", 0.88, 9.5, error=0.09, same=0.9)]
    lenient = QuantizeConfig(
        accuracy_points=2.0, latency_gain=0.05, calibration_error=0.05, agreement=0.9, batch_sizes=(1, 8)
    )
    assert choose(table, lenient).name == "static"


def test_fp16_is_for_gpus_where_it_answers_as_well() -> None:
    half = candidate("fp16", 0.900, 99.0, size=1)
    fp32 = candidate("fp32", 0.900, 10.0, size=2)
    found = choose_for_gpu([fp32, half], CONFIG)
    assert found.name == "fp16"
    assert "50% of its size" in found.reason
    assert "not measured" in found.reason
    refused = choose_for_gpu([fp32, candidate("fp16", 0.7, 1.0)], CONFIG)
    assert refused.name == "fp32"
    assert "20.00 points" in refused.reason
    assert choose_for_gpu([fp32], CONFIG).name == "fp32"
