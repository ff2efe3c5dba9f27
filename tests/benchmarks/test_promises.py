"""What was measured keeps what was promised; what does not is known by name, and said on the page."""

from __future__ import annotations

import json

import pytest

from benchmarks import results
from benchmarks.__main__ import PAGE, RESULTS
from benchmarks.catalogue import KEYS
from benchmarks.promises import PROMISED, Promise

MISSED = {
    # with two threads, how far apart the host puts their CPUs decides (docs/quantization.md); with one they are kept
    "quantize.int8.speedup_batch_1",
    "quantize.int8.speedup_batch_8",
    # each call of gRPC in Python wakes threads several times, and at 64 px the graph runs for half a millisecond
    "serve.p50_over_bare",
    "serve.cpu_per_request_over_bare",
}


@pytest.fixture(scope="module")
def measured() -> dict[str, float]:
    return {key: found["value"] for key, found in json.loads(RESULTS.read_text(encoding="utf-8")).items()}


def test_only_figures_that_are_measured_are_promised() -> None:
    assert set(PROMISED) <= set(KEYS)
    assert set(PROMISED) >= MISSED


@pytest.mark.parametrize("key", sorted(set(PROMISED) - MISSED))
def test_a_figure_keeps_its_promise(measured: dict[str, float], key: str) -> None:
    assert PROMISED[key].kept(measured[key])


@pytest.mark.parametrize("key", sorted(MISSED))
def test_one_that_does_not_is_called_missed(measured: dict[str, float], key: str) -> None:
    assert not PROMISED[key].kept(measured[key]), "it is kept now: take it off the list"
    [row] = [
        line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.endswith(f"`make bench KEY={key}` |")
    ]
    assert ": missed**" in row


def test_a_bound_that_is_met_exactly_is_kept() -> None:
    assert Promise("at least", 1.8).kept(1.8)
    assert not Promise("at least", 1.8).kept(1.79)
    assert Promise("at most", 0.03).kept(0.03)
    assert not Promise("at most", 0.03).kept(0.031)


def test_the_page_has_the_bound_in_the_unit_of_the_figure() -> None:
    row = {"value": 0.02, "unit": "share", "peer": "p", "n": 1, "command": "c", "commit": "a", "machine": "m"}
    key = "train.data_wait_share"
    assert "| 2.0% | at most 3.0% | p |" in results.page({key: row})
    assert "| 4.0% | **at most 3.0%: missed** | p |" in results.page({key: {**row, "value": 0.04}})
