"""What quantization compared and chose, as JSON and as a table; `quantization.page` has it as a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from secondread.export.quantization.candidates import FP16, FP32, FUSED
from secondread.export.quantization.choice import Candidate, Choice
from secondread.export.quantization.latency import Latency
from secondread.machine import Machine
from secondread.model.folder import FP32_GRAPH, INT8_GRAPH, ModelFolder

FUSED_GRAPH, HALF_GRAPH = "fused.onnx", "fp16.onnx"


@dataclass(frozen=True)
class Choices:
    """Which graphs are served.

    Attributes:
        cpu: on a processor like this machine's.
        gpu: on a GPU.
        target: the one of them that is served; `config.json` names its graph.
    """

    cpu: Choice
    gpu: Choice
    target: str = "cpu"

    @property
    def served(self) -> Choice:
        """The one for the target."""
        return self.gpu if self.target == "gpu" else self.cpu

    @property
    def otherwise(self) -> str:
        """What would be served elsewhere, and why."""
        return f"For processors: {self.cpu.reason}" if self.target == "gpu" else f"For GPUs: {self.gpu.reason}"


@dataclass(frozen=True)
class QuantizeResult:
    """What was compared and chosen.

    Attributes:
        model: the folder that was written.
        choices: which candidates are served, and why.
        candidates: all of them, fp32 first.
        n: val images.
        calibration_images: training images that set the ranges.
        machine: where it was timed.
        notes: what was left out and why.
        in_float: layers that the mixed graph leaves in float.
    """

    model: ModelFolder
    choices: Choices
    candidates: tuple[Candidate, ...]
    n: int
    calibration_images: int
    machine: Machine
    notes: tuple[str, ...] = ()
    in_float: tuple[str, ...] = ()

    @property
    def choice(self) -> Choice:
        """The one that is served."""
        return self.choices.served

    @property
    def graph(self) -> str:
        """File name of the graph to serve."""
        return graph_file(self.choice)

    @property
    def reason(self) -> str:
        """Why this graph."""
        return self.choice.reason

    @property
    def chosen(self) -> Candidate:
        """The graph to serve, with its figures."""
        return next(item for item in self.candidates if item.name == self.choice.name)

    def to_json(self) -> dict[str, Any]:
        """As JSON, as `quantize.json` has it."""
        fp32, choices = self.candidates[0], {"cpu": self.choices.cpu, "gpu": self.choices.gpu}
        return {
            "target": self.choices.target,
            "graph": self.graph,
            "chosen": self.choice.name,
            "reason": self.reason,
            **{
                target: {"graph": graph_file(choice), "chosen": choice.name, "reason": choice.reason}
                for target, choice in choices.items()
            },
            "n": self.n,
            "calibration_images": self.calibration_images,
            "machine": {**asdict(self.machine), "flags": list(self.machine.flags)},
            "notes": list(self.notes),
            "in_float": list(self.in_float),
            "candidates": [
                {
                    **asdict(replace(item, latency={})),
                    "latency": {str(size): times.to_json() for size, times in item.latency.items()},
                    "accuracy_drop_points": item.drop_points(fp32),
                }
                for item in self.candidates
            ],
        }

    def table_markdown(self) -> str:
        """The comparison as Markdown."""
        fp32, sizes = self.candidates[0], list(self.candidates[0].latency)
        head = ["graph", f"accuracy (val, n = {self.n})", "drop, points", "calibration error", "same label", "size, MB"]
        head += [f"p50 / P99, ms, batch {size}" for size in sizes]
        lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
        for item in self.candidates:
            cells = [
                f"**{item.name}**" if item.name == self.choice.name else item.name,
                f"{item.accuracy:.4f}",
                f"{item.drop_points(fp32):+.2f}",
                f"{item.calibration_error:.4f}",
                f"{item.parity.same_label:.1%}",
                f"{item.size_bytes / 1e6:.2f}",
                *(format_latency(item.latency, fp32.latency, size) for size in sizes),
            ]
            lines.append(f"| {' | '.join(cells)} |")
        runs = ", ".join(f"{fp32.latency[size].runs} at batch {size}" for size in sizes)
        lines += ["", f"{self.reason} Timed in turns on {self.machine}; runs of each graph: {runs}."]
        lines += [self.choices.otherwise, *self.notes]
        return "\n".join(lines) + "\n"


def format_latency(latency: Mapping[int, Latency], fp32: Mapping[int, Latency], size: int) -> str:
    """Median and P99 of a batch size, and how many times faster than fp32 the median is."""
    times = latency[size]
    return f"{times.p50_ms:.2f} / {times.p99_ms:.2f} ({fp32[size].p50_ms / times.p50_ms:.2f}x)"


def graph_file(choice: Choice) -> str:
    """File of a model folder that holds a candidate."""
    return {FP32: FP32_GRAPH, FUSED: FUSED_GRAPH, FP16: HALF_GRAPH}.get(choice.name, INT8_GRAPH)


def chosen_files(choices: Choices, graphs: Mapping[str, Path]) -> dict[str, Path]:
    """The files to add to a model folder, by name; fp32 is there already."""
    return {graph_file(each): graphs[each.name] for each in (choices.cpu, choices.gpu) if each.name != FP32}
