"""Timing graphs side by side, and saying where."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from scipy.stats import norm

from secondread.errors import InputError
from secondread.export.latency import Latency, fastest, time_graphs
from secondread.export.timing import in_turns


def graph(path: Path, *, products: int) -> Path:
    """The contract's outputs after so many 256 x 256 products."""
    weights = np.eye(256, dtype=np.float32)
    nodes = [
        helper.make_node("Cast", ["pixels"], ["grey"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["grey", "shape"], ["t0"]),
        *(helper.make_node("MatMul", [f"t{i}", "weights"], [f"t{i + 1}"]) for i in range(products)),
        helper.make_node("Softmax", [f"t{products}"], ["probabilities"], axis=1),
        helper.make_node("Identity", [f"t{products}"], ["embedding"]),
        helper.make_node("ReduceMax", [f"t{products}", "axes"], ["ood_score"], keepdims=0),
    ]
    constants = {"shape": np.array([-1, 256]), "axes": np.array([1]), "weights": weights}
    outputs = (("probabilities", ["batch", 256]), ("embedding", ["batch", 256]), ("ood_score", ["batch"]))
    document = helper.make_graph(
        nodes,
        "work",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", 1, 16, 16])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(document, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path)
    return path


def test_more_work_takes_longer(tmp_path: Path) -> None:
    graphs = {
        "little": graph(tmp_path / "little.onnx", products=1),
        "much": graph(tmp_path / "much.onnx", products=200),
    }
    pixels = np.zeros((3, 1, 16, 16), dtype=np.uint8)
    times = time_graphs(graphs, pixels, batch_sizes=(1, 64), runs=7, threads=1)
    assert set(times) == {"little", "much"}
    for size in (1, 64):
        assert 0 < times["little"][size].p50_ms < times["much"][size].p50_ms
        assert times["much"][size].p50_ms <= times["much"][size].p99_ms
        assert times["much"][size].runs == 7


def test_what_takes_too_long_is_run_three_times(tmp_path: Path) -> None:
    graphs = {"little": graph(tmp_path / "little.onnx", products=1)}
    pixels = np.zeros((3, 1, 16, 16), dtype=np.uint8)
    times = time_graphs(graphs, pixels, batch_sizes=(1,), runs=1000, seconds=1e-9, threads=1)
    assert times["little"][1].runs == 3


def test_the_99th_percentile_is_that_of_the_runs() -> None:
    found = Latency.of([0.001 * number for number in range(1, 101)])
    assert found.p50_ms == pytest.approx(50.5)
    assert found.p99_ms == pytest.approx(99.01)
    assert found.runs == 100


def test_what_lasted_for_a_while_once_may_not_have_been_there() -> None:
    """Ten slow runs in a row are one event; ten slow runs here and there are the graph's own."""
    in_a_row = [0.010] * 45 + [0.030] * 10 + [0.010] * 45
    here_and_there = ([0.010] * 9 + [0.030]) * 10
    assert Latency.of(in_a_row).p99_at_least_ms == pytest.approx(10)
    assert Latency.of(here_and_there).p99_at_least_ms == pytest.approx(30)
    assert Latency.of(in_a_row).p99_ms == Latency.of(here_and_there).p99_ms == pytest.approx(30)


def test_the_bound_of_the_99th_percentile_is_seldom_too_high() -> None:
    random = np.random.default_rng(0)
    true = float(np.exp(norm.ppf(0.99)))
    bounds = [Latency.of(np.exp(random.normal(size=150)).tolist()).p99_at_least_ms for _ in range(2_000)]
    assert np.mean(np.array(bounds) > 1_000 * true) < 0.025


@pytest.mark.parametrize("runs", [1, 2, 3, 10, 99])
def test_of_few_runs_one_graph_is_the_fastest_all_the_same(runs: int) -> None:
    rising = Latency.of([0.001 * number for number in range(1, runs + 1)])
    assert rising.p99_at_least_ms <= rising.p99_ms
    assert fastest({"one": rising}) == "one"


def test_a_stall_that_may_be_chance_decides_nothing() -> None:
    steady = Latency.of([0.010] * 200)
    quicker = Latency.of([0.005] * 197 + [0.030] * 3)
    slower_tail = Latency.of(([0.005] * 9 + [0.030]) * 20)
    assert fastest({"steady": steady, "quicker": quicker}) == "quicker"
    assert fastest({"steady": steady, "slower tail": slower_tail}) == "steady"


def test_each_graph_begins_a_round_as_often_and_the_first_round_is_not_counted() -> None:
    order = []

    class Session:
        def __init__(self, name: str) -> None:
            self.name = name

        def run(self, *_: object) -> None:
            order.append(self.name)

    names = ("a", "b", "c")
    sessions = {name: Session(name) for name in names}
    times = in_turns(sessions, np.zeros((1, 1, 16, 16), dtype=np.uint8), runs=6, seconds=60)
    assert {name: len(found) for name, found in times.items()} == dict.fromkeys(names, 6)
    assert len(order) == 3 * 7
    assert Counter(order[3::3]) == dict.fromkeys(names, 2)


def test_a_graph_that_cannot_be_read_is_an_error_and_leaves_no_process(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"no graph")
    with pytest.raises(RuntimeError, match=r"damaged\.onnx"):
        time_graphs({"one": damaged}, np.zeros((1, 1, 16, 16), dtype=np.uint8), batch_sizes=(1,), runs=1)


def test_without_images_there_is_nothing_to_time(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no image"):
        time_graphs({}, np.zeros((0, 1, 16, 16), dtype=np.uint8), batch_sizes=(1,), runs=1)
