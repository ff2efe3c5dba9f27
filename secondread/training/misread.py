"""The images of val that the model reads wrong, as one picture."""

from __future__ import annotations

import io

import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from secondread.data.versions.dataset import SplitData

MISREAD_FILE = "misread-val.png"

_MOST = 24  # images; the surest errors, which teach most
_COLUMNS = 6
_SIDE, _TEXT_HEIGHT, _MARGIN = 192, 54, 8  # pixels
_FONT_SIZE = 12  # pixels
_LONGEST = 30  # letters of a line that stands below an image
_DARK, _LIGHT = 24, 230  # of the ground and of the text


def misread_sheet(val: SplitData, reference: pd.DataFrame) -> bytes | None:
    """A PNG of the misread images, the surest first: class, answer with confidence, first digits of the image id.

    Args:
        val: the split.
        reference: the model's answers on it, one row an image in the same order, as `reference.parquet` has them.
    Returns:
        None where no image is misread.
    """
    wrong = reference.reset_index(drop=True).query("label != predicted").sort_values("confidence", ascending=False)
    if wrong.empty:
        return None
    shown = wrong.head(_MOST)
    columns = min(_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    width, height = _SIDE + _MARGIN, _SIDE + _TEXT_HEIGHT + _MARGIN
    sheet = Image.new("L", (columns * width + _MARGIN, rows * height + _MARGIN), _DARK)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_FONT_SIZE)
    for place, (index, row) in enumerate(shown.iterrows()):
        left, top = _MARGIN + place % columns * width, _MARGIN + place // columns * height
        picture = Image.fromarray(val.images[index, 0])  # type: ignore[index]
        sheet.paste(picture.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR), (left, top))
        lines = (
            f"is {row['label']}"[:_LONGEST],
            f"read {row['confidence']:.2f} {row['predicted']}"[:_LONGEST],
            f"image {row['image_id'][:12]}",
        )
        draw.multiline_text((left, top + _SIDE + 4), "\n".join(lines), fill=_LIGHT, font=font)
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
