from pathlib import Path

import pytest
from jinja2 import UndefinedError

from secondread.page.page import render_page

TEMPLATE = "{% extends 'page.html' %}{% block title %}{{ name }}{% endblock %}{% block content %}<p>{{ name|loud }}</p>"


@pytest.fixture
def template(tmp_path: Path) -> Path:
    (tmp_path / "own.html").write_text(TEMPLATE + "{% endblock %}")
    return tmp_path / "own.html"


def test_a_page_is_one_file_without_script_whose_values_cannot_become_markup(template: Path) -> None:
    page = render_page(template, {"loud": str.upper}, synthetic=False, name="<script>x</script>")
    assert page.startswith("<!doctype html>")
    assert "<title>&lt;script&gt;x&lt;/script&gt; - SecondRead</title>" in page
    assert "<p>&lt;SCRIPT&gt;X&lt;/SCRIPT&gt;</p>" in page
    assert "default-src 'none'" in page
    assert "--paper: #" in page  # the style is in it
    assert "<script" not in page


def test_images_of_no_patient_are_announced_on_top(template: Path) -> None:
    said = [
        render_page(template, {"loud": str}, synthetic=it, name="x").count("SYNTHETIC IMAGES") for it in (True, False)
    ]
    assert said == [1, 0]


def test_a_value_that_is_missing_is_an_error_and_no_gap(template: Path) -> None:
    with pytest.raises(UndefinedError, match="name"):
        render_page(template, {"loud": str}, synthetic=False)
