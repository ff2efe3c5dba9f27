"""The audit for people: one HTML file that needs nothing else, and the JSON beside it.

No script and no address in it. Images are named by their content hash; nothing in it leads to a person.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from secondread.atomic import atomic_folder, write_json
from secondread.config.audit import AuditConfig
from secondread.data.audit.audit import Audit
from secondread.data.audit.severity import LOOK, NONE, SERIOUS
from secondread.data.audit.shortcuts import Shortcut
from secondread.data.audit.subject import Subject
from secondread.page.page import render_page

JSON_FILE = "audit.json"
HTML_FILE = "audit.html"

_TEMPLATE = Path(__file__).parent / "audit.html"
_PICTURE_SIDE = 128  # pixels of the longer side
_SHOWN_HASH = 12  # hex digits
_TITLES = {
    "source": "Source",
    "split": "Split",
    "original_split": "Split as published",
    "sex": "Sex",
    "age_band": "Age (years)",
    "view": "View",
    "body_part": "Body part",
    "laterality": "Side",
    "burnt_in_text": "Text in the picture",
}
_MARKS = {SERIOUS: ("bad", "✗ serious"), LOOK: ("look", "! worth a look"), NONE: ("good", "✓ nothing found")}


def write_audit(result: Audit, subject: Subject, output: Path, config: AuditConfig, *, inputs: list[Path]) -> None:
    """Write `audit.json` and `audit.html`.

    Args:
        result: of the audit.
        subject: that it is of; its pictures are shown.
        output: folder to write; it appears whole or not at all.
        config: its rules are stated on the page.
        inputs: paths that the output must not replace.
    """
    with atomic_folder(output, marker=JSON_FILE, inputs=inputs) as folder:
        (folder / HTML_FILE).write_text(render(result, subject, config), encoding="utf-8")
        write_json(folder / JSON_FILE, result.to_dict())


def render(result: Audit, subject: Subject, config: AuditConfig) -> str:
    """The page."""
    return render_page(
        _TEMPLATE,
        {"percent": lambda share: f"{100 * share:.0f}\u202f%"},
        synthetic=result.synthetic,
        audit=result,
        config=config,
        titles=_TITLES,
        marks=_MARKS,
        galleries={id(item): _gallery(item, subject) for item in result.shortcuts if item.severity != NONE},
        examples={item.name: _strip(item.shown, subject) for item in result.findings if item.shown},
        several=len({item.modality for item in result.shortcuts}) > 1,
        identify=id,
    )


def _gallery(item: Shortcut, subject: Subject) -> dict[str, list[dict[str, Any]]]:
    return {name: _strip(positions, subject) for name, positions in item.shown.items()}


def _strip(positions: Sequence[int], subject: Subject) -> list[dict[str, Any]]:
    rows = subject.rows
    return [
        {
            "picture": _data_uri(subject, at),
            "image_id": rows["image_id"].iloc[at][:_SHOWN_HASH],
            "label": rows["label"].iloc[at],
        }
        for at in positions
    ]


def _data_uri(subject: Subject, position: int) -> str:
    image = Image.fromarray(subject.read(position))
    image.thumbnail((_PICTURE_SIDE, _PICTURE_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
