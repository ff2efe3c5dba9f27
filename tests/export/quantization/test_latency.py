"""Timing graphs side by side, and saying where."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from secondread.errors import InputError
from secondread.export.quantization.latency import Latency, fastest, time_graphs
from secondread.export.quantization.timing import in_turns


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


def test_median_and_99th_percentile_are_those_of_the_runs() -> None:
    found = Latency(tuple(map(float, range(1, 101))))
    assert found.p50_ms == pytest.approx(50.5)
    assert found.p99_ms == pytest.approx(99.01)
    assert found.runs == 100


@pytest.mark.parametrize("runs", [1, 2, 3, 10, 99])
def test_of_few_runs_the_faster_graph_is_found_all_the_same(runs: int) -> None:
    quick = tuple(map(float, range(1, runs + 1)))
    slow = tuple(100 + each for each in quick)
    assert fastest({"slow": Latency(slow), "quick": Latency(quick)}) == "quick"
    assert fastest({"alone": Latency(slow)}) == "alone"


def test_what_lasted_for_a_while_once_decides_nothing() -> None:
    """Twenty slow runs in a row are one event; twenty here and there are the graph's own."""
    steady = Latency((10.0,) * 200)
    once = Latency((5.0,) * 90 + (30.0,) * 20 + (5.0,) * 90)
    often = Latency(((5.0,) * 9 + (30.0,)) * 20)
    assert fastest({"steady": steady, "once": once}) == "once"
    assert fastest({"steady": steady, "often": often}) == "steady"


def test_what_slows_all_graphs_at_once_leaves_their_order() -> None:
    busy = ([1.0] * 9 + [3.0]) * 20
    slower, quicker = (Latency(tuple(factor * usual for factor in busy)) for usual in (10.0, 9.0))
    assert fastest({"slower": slower, "quicker": quicker}) == "quicker"


def test_graphs_that_are_alike_are_seldom_told_apart_by_their_p99() -> None:
    random = np.random.default_rng(0)
    told_apart = 0
    for _ in range(200):
        runs = random.lognormal(size=(2, 150))
        lower, higher = sorted(runs.tolist(), key=np.median)
        told_apart += fastest({"higher": Latency(tuple(higher)), "lower": Latency(tuple(lower))}) == "higher"
    assert told_apart / 200 < 0.05


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
