"""The evaluation for people: one HTML file that needs nothing else, and a Markdown summary.

No script and no address in it: it opens on a phone, in a mail and in Kubeflow's sandboxed frame alike. Images are named
by their content hash; nothing in it leads to a person.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from secondread.evaluation.external.drop_results import Drop
from secondread.evaluation.intervals.bounds import Interval
from secondread.evaluation.intervals.estimate import Estimate
from secondread.evaluation.metrics.arrays import FloatArray, IntArray
from secondread.evaluation.metrics.by_name import BY_CLASS, COUNTS, LOWER_IS_BETTER, OVERALL
from secondread.evaluation.report import pictures
from secondread.evaluation.report.harm_pictures import forest_svg, strengths_svg
from secondread.evaluation.report.reading_room_pictures import risk_coverage_svg, risk_dial_svg
from secondread.evaluation.results import ClassFigures, Evaluation
from secondread.evaluation.saliency import COLOURS, Region, overlay, strongest_regions
from secondread.model.session import Explanation
from secondread.page.page import render_page

NOTICE = (
    "A preliminary reading aid: a second look for a physician, who decides. Not a diagnosis, and not a medical device."
)
_TEMPLATE = Path(__file__).parent / "report.html"
_PICTURE_SIDE = 192  # pixels; larger images are reduced, so that two dozen of them stay below a megabyte


@dataclass(frozen=True)
class Shown:
    """One picture of the report.

    Attributes:
        picture: the image as a `data:` URI of a PNG.
        image_id: content hash, hex.
        label, predicted: class names.
        confidence: probability of the predicted class, in [0, 1].
        truth: probability that the model gave to the true class, in [0, 1].
        overlay: the image with its saliency map over it, as such a URI too; empty where there is none.
        strongest: the place in it that speaks most for the predicted class; None where there is none.
    """

    picture: str
    image_id: str
    label: str
    predicted: str
    confidence: float
    truth: float
    overlay: str = ""
    strongest: Region | None = None

    @property
    def right(self) -> bool:
        """The model is right."""
        return self.label == self.predicted


@dataclass(frozen=True)
class Gallery:
    """The images that teach most: where the model is sure and wrong, and where it does not know."""

    confidently_wrong: tuple[Shown, ...] = ()
    least_confident: tuple[Shown, ...] = ()

    @classmethod
    def choose(
        cls,
        images: npt.NDArray[np.uint8],
        labels: IntArray,
        probabilities: FloatArray,
        classes: Sequence[str],
        *,
        image_ids: npt.NDArray[Any],
        count: int,
        explain: Callable[[npt.NDArray[np.uint8]], Explanation] | None = None,
    ) -> Gallery:
        """Pick the pictures.

        Args:
            images: uint8 (images, 1, size, size).
            labels: int (images,), positions in `classes`.
            probabilities: float (images, classes).
            classes: class names.
            image_ids: (images,) of str.
            count: pictures at most, of each kind.
            explain: gives the saliency maps of some images, `GraphSession.explain`; no maps are shown without it. It is
                asked of the pictures alone.
        """
        confidence, predicted = probabilities.max(axis=1), probabilities.argmax(axis=1)
        order = np.argsort(confidence, kind="stable")
        wrong = [int(index) for index in order[::-1] if predicted[index] != labels[index]]

        def show(index: int) -> Shown:
            return Shown(
                picture=data_uri(images[index, 0]),
                image_id=str(image_ids[index]),
                label=classes[labels[index]],
                predicted=classes[predicted[index]],
                confidence=float(confidence[index]),
                truth=float(probabilities[index, labels[index]]),
            )

        chosen = [*wrong[:count], *(int(index) for index in order[:count])]
        shown = list(map(show, chosen))
        if explain and chosen:
            explanation = explain(images[chosen])
            named = explanation.outputs.probabilities.argmax(axis=1)
            for place, index in enumerate(chosen):
                # the graph that is served may be quantized, and then differ: a map of another answer explains nothing
                if named[place] == predicted[index]:
                    shown[place] = _explained(shown[place], images[index, 0], explanation.saliency[place])
        return cls(tuple(shown[: len(wrong[:count])]), tuple(shown[len(wrong[:count]) :]))

    @property
    def explained(self) -> bool:
        """Some picture has a saliency map beside it."""
        return any(item.overlay for item in (*self.confidently_wrong, *self.least_confident))


def _explained(item: Shown, image: npt.NDArray[np.uint8], saliency: npt.NDArray[np.float32]) -> Shown:
    """The picture with its map, where anything in it speaks for the class."""
    regions = strongest_regions(saliency, count=1)
    return replace(item, overlay=data_uri(overlay(image, saliency)), strongest=regions[0]) if regions else item


def render_html(evaluation: Evaluation, gallery: Gallery) -> str:
    """The report as one HTML document."""
    return render_page(
        _TEMPLATE,
        {
            "figure": format_figure,
            "between": format_interval,
            "signed": lambda each: format_signed(each.value),
            "signed_between": format_signed_interval,
            "picture": data_uri,
        },
        synthetic=evaluation.synthetic,
        evaluation=evaluation,
        gallery=gallery,
        notice=NOTICE,
        titles=OVERALL,
        class_titles={name: title for name, title in BY_CLASS.items() if name not in COUNTS},
        lower_is_better=LOWER_IS_BETTER,
        pictures=pictures,
        coverage_svg=risk_coverage_svg,
        dial_svg=risk_dial_svg,
        gaps_svg=forest_svg,
        strengths_svg=strengths_svg,
        colours=COLOURS,
    )


def summary_markdown(evaluation: Evaluation) -> str:
    """The headline, gate and class table as Markdown."""
    lines = [
        f"## {evaluation.model}: {'passed' if evaluation.gate.passed else 'refused'} on {evaluation.split}",
        "",
        *(["**SYNTHETIC IMAGES: these figures say nothing about patients.**", ""] if evaluation.synthetic else []),
        f"{evaluation.n} images of {evaluation.groups} patients or independent groups, dataset version "
        f"`{evaluation.dataset}`, graph `{evaluation.graph}`, digest `{evaluation.digest[:12]}`.",
        "",
        "| figure | value | interval |",
        "|---|---:|---|",
        *(_markdown_row(OVERALL[name], figure) for name, figure in evaluation.metrics.items()),
        "",
        f"Of as many images a perfectly calibrated model would show a calibration error of "
        f"{format_interval(evaluation.calibration.ece_if_calibrated)}.",
        "",
        "| class | images | precision | recall | specificity | F1 | AUROC |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *(_markdown_class(name, item) for name, item in evaluation.per_class.items()),
        "",
        *_markdown_absent(evaluation),
        *_markdown_drop(evaluation.drop),
        *_markdown_apart(evaluation),
        *(f"- {_cell(reason)}" for reason in evaluation.gate.reasons),
        "",
        f"*{NOTICE}*",
    ]
    return "\n".join(lines) + "\n"


def format_figure(value: float | None) -> str:
    """Three decimals, or a dash where there is no figure."""
    return "-" if value is None or not math.isfinite(value) else f"{value:.3f}"


def format_signed(value: float) -> str:
    """Three decimals and the sign, or a dash where there is no figure."""
    return f"{value:+.3f}" if math.isfinite(value) else "-"


def format_signed_interval(bounds: Estimate) -> str:
    """As `format_interval`, of a difference."""
    known = math.isfinite(bounds.low) and math.isfinite(bounds.high)
    return f"{format_signed(bounds.low)} to {format_signed(bounds.high)}" if known else ""


def format_interval(bounds: Estimate | Interval) -> str:
    """Both bounds, or nothing where they are not known."""
    known = math.isfinite(bounds.low) and math.isfinite(bounds.high)
    return f"{format_figure(bounds.low)} to {format_figure(bounds.high)}" if known else ""


def _markdown_row(title: str, figure: Estimate) -> str:
    return f"| {title} | {format_figure(figure.value)} | {format_interval(figure)} |"


def _markdown_class(name: str, item: ClassFigures) -> str:
    shown = ("precision", "recall", "specificity", "f1", "auroc")
    cells = (f"{format_figure(item[each].value)} ({format_interval(item[each]) or '-'})" for each in shown)
    return f"| {_cell(name)} | {item.support} | {' | '.join(cells)} |"


def _markdown_absent(evaluation: Evaluation) -> list[str]:
    if not evaluation.absent:
        return []
    return [
        f"No image has {_cell(', '.join(evaluation.absent))}: means over classes are over "
        f"{_cell(', '.join(evaluation.present))}.",
        "",
    ]


def _markdown_drop(drop: Drop | None) -> list[str]:
    if drop is None:
        return []
    if not drop.figures:
        return [f"No class in common with {drop.split} of `{_cell(drop.against)}`: no drop can be told.", ""]
    shared = f" {drop.shared_images} images are in both sets, which are not independent." if drop.shared_images else ""
    return [
        f"Against {drop.against_n} images of {drop.split} of `{_cell(drop.against)}`, over "
        f"{_cell(', '.join(drop.classes))}:{shared}",
        "",
        "| figure | here | its own test | difference | interval |",
        "|---|---:|---:|---:|---|",
        *(
            f"| {OVERALL[name]} | {format_figure(each.external.value)} | {format_figure(each.internal.value)} "
            f"| {format_signed(each.drop.value)} | {format_signed_interval(each.drop)} |"
            for name, each in drop.figures.items()
        ),
        "",
    ]


def _markdown_apart(evaluation: Evaluation) -> list[str]:
    if not evaluation.apart:
        return []
    return [
        "In no figure:",
        "",
        "| class of the set | why | images | turned away | mean confidence | called |",
        "|---|---|---:|---|---|---|",
        *(
            f"| {_cell(each.name)} | {each.reason} | {each.n} "
            f"| {format_figure(each.flagged.value)} ({format_interval(each.flagged) or '-'}) "
            f"| {format_figure(each.confidence.value)} ({format_interval(each.confidence) or '-'}) "
            f"| {_cell(', '.join(f'{count} {name}' for name, count in each.called.items()))} |"
            for each in evaluation.apart
        ),
        "",
    ]


def _cell(text: str) -> str:
    """Text that cannot break out of a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")


def data_uri(pixels: npt.NDArray[np.uint8]) -> str:
    """A grey image, uint8 (height, width), or a coloured one, (height, width, 3), as a `data:` URI."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((_PICTURE_SIDE, _PICTURE_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
