"""Ranges of activations: what is seen, and how much of it 8 bits should reach."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import scipy.stats
from onnx import numpy_helper

from secondread.errors import InputError
from secondread.export.graphs.ranges import Range, Seen, entropy_threshold, observe, ranges


def seen(values: np.ndarray) -> dict[str, Seen]:
    values = values.astype(np.float32)
    return {"t": Seen(float(values.min()), float(values.max()), values, 0)}


def test_minmax_reaches_all_and_percentile_leaves_out_a_share_of_the_values() -> None:
    values = np.linspace(-1, 3, 4001)
    assert ranges(seen(values), "minmax", percentile=99)["t"] == Range(-1, 3)
    found = ranges(seen(values), "percentile", percentile=99)["t"]
    assert (found.low, found.high) == (pytest.approx(-0.98, abs=1e-3), pytest.approx(2.98, abs=1e-3))


def test_zero_is_in_every_range_and_a_range_is_never_empty() -> None:
    for method in ("minmax", "entropy", "percentile"):
        assert ranges(seen(np.linspace(2, 3, 100)), method, percentile=99)["t"].low == 0
        assert ranges(seen(np.linspace(-3, -2, 100)), method, percentile=99)["t"].high == 0
        assert ranges(seen(np.zeros(100)), method, percentile=99)["t"] == Range(0, 1)


def test_entropy_cuts_a_rare_outlier_off_and_nothing_off_an_even_spread() -> None:
    rng = np.random.default_rng(0)
    bell = rng.normal(size=100_000)
    assert 2 < entropy_threshold(np.append(bell, 60.0).astype(np.float32)) < 12
    assert entropy_threshold(rng.uniform(-5, 5, 100_000).astype(np.float32)) > 4.5


@pytest.mark.parametrize("tail", [3, 5, 30])
def test_entropy_is_the_divergence_that_scipy_finds_least(tail: int) -> None:
    values = np.random.default_rng(tail).standard_t(tail, 20_000).astype(np.float32)
    counts, edges = np.histogram(np.abs(values), bins=2048)
    counts[0] = counts[1]
    losses = {}
    for end in range(128, 2049, 16):
        kept = counts[:end].astype(float)
        coarse = np.zeros(end)
        for level in range(128):
            inside = [bin for bin in range(end) if bin * 128 // end == level]
            filled = [bin for bin in inside if kept[bin]]
            coarse[filled] = kept[inside].sum() / max(1, len(filled))
        kept[-1] += counts[end:].sum()
        # what the levels say is impossible counts with its own share
        both = coarse > 0
        losses[edges[end]] = (
            scipy.stats.entropy(kept[both], coarse[both]) * kept[both].sum() / kept.sum()
            + (kept[both].sum() / kept.sum()) * np.log(kept[both].sum() / kept.sum())
            + kept[~both].sum() / kept.sum()
        )
    assert entropy_threshold(values) == pytest.approx(min(losses, key=losses.__getitem__), rel=1e-4)


def test_extremes_are_exact_over_all_images(
    transformer: Callable[..., Path], noise: np.ndarray, tmp_path: Path
) -> None:
    graph = transformer(tmp_path / "graph.onnx", dim=8, heads=2, head_dim=8)
    grey = onnx.load(graph).graph.node[1].output[0]  # pixels / 255
    noise[37, 0, 3, 4] = 255
    noise[noise == 0] = 1
    found = observe(graph, [grey, "embedding"], noise, threads=1)
    assert found[grey].high == 1
    assert found[grey].low == pytest.approx(noise.min() / 255)
    assert set(found) == {grey, "embedding"}
    assert found["embedding"].length == 8


def test_the_values_that_are_kept_of_many_are_of_every_channel(tiny_graph: Callable[..., None], tmp_path: Path) -> None:
    """Of 73,728 values a batch 16,384 are kept: every fourth would be of every fourth column."""
    tiny_graph(tmp_path / "graph.onnx", size=48)
    columns = np.tile(np.arange(48, dtype=np.uint8) * 5, (64, 1, 48, 1))
    found = observe(tmp_path / "graph.onnx", ["scaled"], columns, threads=1)["scaled"].values
    kept = np.bincount((found * 255 / 5).round().astype(int), minlength=48)
    assert found.size == 2 * 16_384
    assert kept.min() > 0.8 * kept.mean()


def test_damaged_weights_are_named(transformer: Callable[..., Path], noise: np.ndarray, tmp_path: Path) -> None:
    graph = transformer(tmp_path / "graph.onnx", dim=8, heads=2, head_dim=8)
    model = onnx.load(graph)
    weights = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 2)
    damaged = numpy_helper.to_array(weights).copy()
    damaged[0, 0] = np.nan
    weights.CopyFrom(numpy_helper.from_array(damaged, weights.name))
    onnx.save(model, graph)
    with pytest.raises(InputError, match="values that are not finite: its weights are damaged"):
        observe(graph, ["embedding"], noise, threads=1)
