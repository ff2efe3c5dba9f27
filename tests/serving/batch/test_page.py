"""The page of what many readings come to."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from secondread.export.repository.layout import RepositoryModel
from secondread.model.folder import ModelFolder
from secondread.serving.batch.page import render_scored
from secondread.serving.batch.read import Scored
from secondread.serving.protocol.contract import NOTICE

SCORED = Scored(
    images=1200,
    unreadable=200,
    out_of_distribution=40,
    labels={"cxr-covid": 250, "cxr-normal": 750},
    urgency={"routine": 710, "unknown": 40, "urgent": 250},
    errors={f"reason {letter}": 10 for letter in "abcdefghijkl"} | {"<b>torn</b>": 80},
    output="",
)


@pytest.fixture
def model(tiny_model: ModelFolder) -> RepositoryModel:
    return RepositoryModel("cxr", "7", tiny_model.digest(), tiny_model.config)


def rows(page: str) -> list[list[str]]:
    """Cells of every table's body, as text."""
    found = re.findall(r"<tr>(<td>.*?)</tr>", page, re.DOTALL)
    return [[re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<td>(.*?)</td>", row, re.DOTALL)] for row in found]


def test_it_says_how_many_of_each_the_most_frequent_first(model: RepositoryModel) -> None:
    page = render_scored(SCORED, model)
    assert "1,200 images, 200 of them unreadable" in page
    assert "cxr version 7" in page
    assert NOTICE in page
    cells = [row[:3] for row in rows(page)]
    assert cells[:6] == [
        ["cxr-normal Normal chest", "750", "75.0\u202f%"],
        ["cxr-covid COVID-19 pneumonia", "250", "25.0\u202f%"],
        ["cxr-opacity", "0", "0.0\u202f%"],
        ["routine", "710", "71.0\u202f%"],
        ["urgent", "250", "25.0\u202f%"],
        ["unknown", "40", "4.0\u202f%"],
    ]
    assert cells[6] == ["&lt;b&gt;torn&lt;/b&gt;", "80", "40.0\u202f%"]
    assert len(cells) == 16
    assert "And 30 for rarer reasons" in page


def test_where_none_or_all_could_be_read_there_is_no_empty_table(model: RepositoryModel) -> None:
    whole = render_scored(replace(SCORED, unreadable=0, errors={}), model)
    assert "What could not be read" not in whole
    none = Scored(3, 3, 0, {}, {}, {"the file is empty.": 3}, "")
    page = render_scored(none, model)
    assert "What was read" not in page
    assert "3 (100.0\u202f%)" in page
    assert [row[:2] for row in rows(page)] == [["the file is empty.", "3"]]


def test_images_of_no_patient_are_announced(model: RepositoryModel) -> None:
    assert "SYNTHETIC IMAGES" in render_scored(SCORED, model)
    real = replace(model, config=replace(model.config, synthetic=False))
    assert "SYNTHETIC IMAGES" not in render_scored(SCORED, real)
