"""A reading: what is said of one image, whoever said it, and how it is shown to a person."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from secondread.serving.protocol.contract import Answer

_MAIN_CLASSES = 3  # probabilities that a person is shown


@dataclass(frozen=True)
class Reading:
    """What is said of one image.

    Attributes:
        path: of the image.
        label: name of the most probable class.
        title: that class for people.
        confidence: its calibrated probability, 0 to 1.
        probabilities: of every class, by name, in the model's order; they sum to 1.
        urgency: urgent, routine or unknown.
        out_of_distribution: unlike what the model was trained for; then the label means nothing.
        image_id: SHA-256 of the file, hex.
        reading_id: UUID of this very reading.
        model: name.
        model_version: number in the registry; empty for a folder that is not registered.
        digest: SHA-256 of what answered, hex.
        synthetic: the model learned from generated images.
        notice: what a reading is not.
    """

    path: str
    label: str
    title: str
    confidence: float
    probabilities: dict[str, float]
    urgency: str
    out_of_distribution: bool
    image_id: str
    reading_id: str
    model: str
    model_version: str
    digest: str
    synthetic: bool
    notice: str

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def readings_of(paths: Sequence[Path], answer: Answer, *, model: str) -> list[Reading]:
    """Take an answer apart, one reading an image.

    Args:
        paths: of the images, in the order of the answer.
        answer: to these images.
        model: name of the model that answered.
    """
    parameters, columns = answer.parameters, answer.tensors
    classes, titles = json.loads(str(parameters["classes"])), json.loads(str(parameters["titles"]))
    readings = []
    for index, path in enumerate(paths):
        row = {name: tensor[index] for name, tensor in columns.items()}
        label = str(row["label"])
        readings.append(
            Reading(
                path=str(path),
                label=label,
                title=titles[classes.index(label)] or label,
                confidence=float(row["confidence"]),
                probabilities=dict(zip(classes, map(float, row["probabilities"]), strict=True)),
                urgency=str(row["urgency"]),
                out_of_distribution=bool(row["out_of_distribution"]),
                image_id=str(row["image_id"]),
                reading_id=str(row["reading_id"]),
                model=model,
                model_version=str(parameters["model_version"]),
                digest=str(parameters["digest"]),
                synthetic=bool(parameters["synthetic"]),
                notice=str(parameters["notice"]),
            )
        )
    return readings


def print_readings(readings: Sequence[Reading], console: Console | None = None) -> None:
    """Show readings to a person, the notice last.

    Args:
        readings: at least one.
        console: where to; stdout by default.
    """
    console = console or Console(highlight=False, soft_wrap=True)
    for reading in readings:
        console.print(reading.path, style="bold", markup=False)
        for name, value in _lines(reading).items():
            console.print(f"  {name:<12}{value}", markup=False)
    if any(reading.synthetic for reading in readings):
        console.print("The model learned from generated images: it says nothing about real ones.", markup=False)
    console.print(readings[0].notice, markup=False)


def _lines(reading: Reading) -> dict[str, str]:
    others = sorted(reading.probabilities.items(), key=lambda item: -item[1])[1:_MAIN_CLASSES]
    version = f"version {reading.model_version}" if reading.model_version else "not registered"
    lines = {
        "label": f"{reading.title} ({reading.label})" if reading.title != reading.label else reading.label,
        "probability": f"{reading.confidence:.3f}" + "".join(f", {name} {share:.3f}" for name, share in others),
        "urgency": reading.urgency,
        "model": f"{reading.model} {version}, digest {reading.digest[:12]}",
        "reading": reading.reading_id,
    }
    if reading.out_of_distribution:
        lines["caution"] = "unlike the images that the model was trained for: do not rely on the label"
    return lines
