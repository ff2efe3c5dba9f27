"""A comparison as files.

comparison.json   the figures, for machines
comparison.html   the page for people, in one file
summary.md        the headline
"""

from __future__ import annotations

import math
from pathlib import Path

from secondread.atomic import atomic_folder, write_json
from secondread.evaluation.labelled_images import LabelledImages
from secondread.evaluation.metrics.by_name import OVERALL
from secondread.evaluation.paired.difference import PairedComparison
from secondread.evaluation.report.page import NOTICE, format_figure
from secondread.model.folder import ModelFolder
from secondread.page.page import render_page

COMPARISON_FILE = "comparison.json"
PAGE_FILE = "comparison.html"
COMPARISON_SUMMARY_FILE = "summary.md"

_TEMPLATE = Path(__file__).parent / "paired.html"


def write_comparison(
    comparison: PairedComparison, folder: Path, *, champion: ModelFolder, challenger: ModelFolder, data: LabelledImages
) -> None:
    """Write all of them.

    Args:
        comparison: the figures.
        folder: to write, replaced as a whole.
        champion: what is served now.
        challenger: what may be.
        data: the images.
    """
    page = render_comparison(comparison, champion=champion, challenger=challenger, data=data)
    with atomic_folder(folder, marker=COMPARISON_FILE, inputs=[champion.root, challenger.root]) as aside:
        write_json(aside / COMPARISON_FILE, comparison.to_json())
        (aside / PAGE_FILE).write_text(page, encoding="utf-8")
        text = comparison_markdown(comparison, synthetic=data.synthetic)
        (aside / COMPARISON_SUMMARY_FILE).write_text(text, encoding="utf-8")


def render_comparison(
    comparison: PairedComparison, *, champion: ModelFolder, challenger: ModelFolder, data: LabelledImages
) -> str:
    """The comparison as one HTML document."""
    return render_page(
        _TEMPLATE,
        {"figure": format_figure, "points": format_points},
        comparison=comparison,
        champion=champion,
        challenger=challenger,
        name=challenger.config.name,
        dataset=data.name,
        split=data.split,
        synthetic=data.synthetic or champion.config.synthetic or challenger.config.synthetic,
        notice=NOTICE,
        titles=OVERALL,
    )


def comparison_markdown(comparison: PairedComparison, *, synthetic: bool) -> str:
    """The headline, table and verdict as Markdown."""
    verdict = "not worse than the champion" if comparison.gate.passed else "refused: the champion stays alone"
    test = comparison.mcnemar
    lines = [
        f"## Challenger: {verdict}",
        "",
        *(["**SYNTHETIC IMAGES: these figures say nothing about patients.**", ""] if synthetic else []),
        f"The same {comparison.n} images of {comparison.groups} patients or independent groups for both.",
        "",
        "| figure | champion | challenger | difference (points) | interval |",
        "|---|---:|---:|---:|---|",
        *(
            f"| {OVERALL[name]} | {format_figure(item.champion)} | {format_figure(item.challenger)} "
            f"| {format_points(item.value)} | {format_points(item.low)} to {format_points(item.high)} |"
            for name, item in comparison.differences.items()
        ),
        "",
        f"The challenger alone is right on {test.challenger_only} images, the champion alone on {test.champion_only}: "
        f"McNemar's exact p = {test.p_value:.4f}.",
        "",
        *(f"- {reason}" for reason in comparison.gate.reasons),
        "",
        f"*{NOTICE}*",
    ]
    return "\n".join(lines) + "\n"


def format_points(difference: float) -> str:
    """A difference of shares in percentage points with its sign, or a dash where it is not known."""
    return f"{100 * difference:+.2f}" if math.isfinite(difference) else "-"
