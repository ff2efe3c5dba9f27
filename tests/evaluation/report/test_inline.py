import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from secondread.evaluation.report.inline import drawing_html, strip_html
from secondread.evaluation.report.pictures import confusion_svg, curve_svg

SVG = "{http://www.w3.org/2000/svg}"


def document_of(html: str) -> ElementTree.Element:
    """The drawing inside, which must be well-formed on its own."""
    found = re.search(r'src="data:image/svg\+xml;base64,([^"]+)"', html)
    assert found
    return ElementTree.fromstring(base64.b64decode(found[1]))  # noqa: S314 - our own


def test_a_drawing_brings_its_own_colours_and_no_rule_for_the_page() -> None:
    html = drawing_html(confusion_svg([[3, 1], [0, 4]], ["normal", "a<b"]), width=300)
    assert html.startswith('<img alt="Confusion matrix')
    style = document_of(html).find(f"{SVG}style")
    assert style is not None
    assert style.text
    assert "--right: #" in style.text
    assert "prefers-color-scheme: dark" in style.text
    assert "svg .wrong { fill" in style.text
    # nothing of tables, cards or the page itself
    assert not re.search(r"^(\*|body|h1|table|\.card)", style.text, re.M)
    assert style.text.count("{") == style.text.count("}")
    # alone it is as high as its view box: the report's margin would cut its foot off
    assert style.text.rindex("margin: 0 !important") > style.text.rindex("margin: 8px")


def test_images_are_shown_as_they_are_with_captions_that_are_text() -> None:
    image = np.arange(64, dtype=np.uint8).reshape(8, 8)
    html = strip_html([image, image], ["true: <normal>", "second"], title="A & B")
    assert "true: &lt;normal&gt;" in html
    assert "A &amp; B" in html
    data = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    assert len(data) == 2
    assert (np.asarray(Image.open(io.BytesIO(base64.b64decode(data[0])))) == image).all()


def test_a_curve_has_its_values_at_their_heights() -> None:
    html = drawing_html(curve_svg({"train": [2.0, 1.0, 0.5]}, x_title="epoch", y_title="loss"), width=300)
    line = document_of(html).find(f"{SVG}polyline")
    assert line is not None
    points = [tuple(map(float, pair.split(","))) for pair in line.attrib["points"].split()]
    (x1, y1), (x2, y2), (x3, y3) = points
    assert x2 - x1 == x3 - x2 > 0
    assert y2 - y1 == 2 * (y3 - y2) > 0, "an SVG's y grows downwards: a loss that falls goes down"


def test_a_single_epoch_is_drawn_too() -> None:
    assert "polyline" in curve_svg({"val": [0.4]}, x_title="epoch", y_title="accuracy")
