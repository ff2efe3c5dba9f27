"""The report's drawings and images as HTML that stands alone, for notebooks: `IPython.display.HTML(...)` shows it.

A notebook's page must not get the report's style, nor may its own reach into a drawing: each is an image of its own.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from markupsafe import Markup, escape

from secondread.evaluation.report.page import data_uri
from secondread.page.page import STYLE_FILE

_STYLE_FILES = (STYLE_FILE, Path(__file__).parent / "report.css")
# The parts of the report's style that drawings use: variables, light and dark, and what is said of svg.
_DRAWING_RULES = re.compile(r"^:root \{.*?^\}|^@media \(prefers-color-scheme.*?^\}|^svg[ .{][^\n]*\}", re.M | re.S)


def drawing_html(svg: Markup, *, width: int) -> str:
    """One of the drawings of `secondread.evaluation.report.pictures`.

    Args:
        svg: as they give it.
        width: pixels on a desk; narrower where the page is.
    """
    # str, since a Markup would escape what is put in
    named = str(svg).replace("<svg ", f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" ', 1)
    document = named.replace(">", f"><style>{_style()}</style>", 1)
    title = re.search(r'aria-label="([^"]*)"', svg)
    data = base64.b64encode(document.encode()).decode("ascii")
    alt = title[1] if title else ""
    return f'<img alt="{alt}" style="width:{width}px;max-width:100%" src="data:image/svg+xml;base64,{data}">'


def strip_html(
    images: Sequence[npt.NDArray[np.uint8]], captions: Sequence[str], *, title: str = "", side: int = 112
) -> str:
    """Grey images side by side, each with a caption under it.

    Args:
        images: uint8 (height, width) each.
        captions: as many, plain text.
        title: above them, plain text.
        side: pixels that the longer side of each is shown at.
    """
    head = f'<div style="font-weight:600;margin:8px 0 4px">{escape(title)}</div>' if title else ""
    cells = "".join(
        f'<figure style="margin:0;width:{side}px">'
        f'<img alt="{escape(caption)}" src="{data_uri(image)}" '
        f'style="width:{side}px;height:{side}px;margin:0;object-fit:contain;background:#000">'
        f'<figcaption style="font-size:12px;line-height:1.3">{escape(caption)}</figcaption></figure>'
        for image, caption in zip(images, captions, strict=True)
    )
    return f'{head}<div style="display:flex;flex-wrap:wrap;gap:8px">{cells}</div>'


@lru_cache(maxsize=1)
def _style() -> str:
    """The drawings' rules, on the report's card colour: a drawing is light or dark as a whole."""
    style = "".join(file.read_text(encoding="utf-8") for file in _STYLE_FILES)
    rules = _DRAWING_RULES.findall(style)
    # an image is as high as its view box: a margin inside would push the drawing's foot out of it
    alone = "svg { background: var(--card); font-family: system-ui, sans-serif; margin: 0 !important; }"
    return "\n".join([*rules, alone])
