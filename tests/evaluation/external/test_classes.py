"""A set's classes go to the model's by name or by a file; names that are nowhere are mistakes, and are said."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from secondread.config.external_classes import ExternalClassesConfig
from secondread.errors import InputError
from secondread.evaluation.external.classes import match_classes, read_external_classes
from secondread.evaluation.labelled_images import LabelledImages

KNOWN = ("cxr-covid", "cxr-normal", "cxr-pneumonia")


@pytest.fixture
def outside(pictures: Callable[..., LabelledImages]) -> LabelledImages:
    """Ten images of each class, known to nobody by these names."""
    data = pictures(40)
    return replace(
        data,
        labels=np.arange(40) % 4,
        classes=("NORMAL", "bacterial", "viral", "hernia"),
        factors={"sex": data.image_ids},
    )


def match(data: LabelledImages, **config: object):
    return match_classes(data, KNOWN, ExternalClassesConfig(**config), model="reader")


def test_two_classes_of_the_set_may_be_one_of_the_model(outside: LabelledImages) -> None:
    names = {"NORMAL": "cxr-normal", "bacterial": "cxr-pneumonia", "viral": "cxr-pneumonia"}
    found = match(outside, map=names)
    assert found.names == names
    assert found.judged.classes == KNOWN
    assert list(np.bincount(found.judged.labels, minlength=3)) == [0, 10, 20]
    assert found.reasons == {"hernia": "the model has no such class"}


def test_images_keep_what_belongs_to_them(outside: LabelledImages) -> None:
    found = match(outside, map={"NORMAL": "cxr-normal", "hernia": "cxr-covid"})
    for part, classes in ((found.judged, {0, 3}), (found.apart, {1, 2})):
        chosen = np.isin(outside.labels, list(classes))
        np.testing.assert_array_equal(part.images, outside.images[chosen])
        assert list(part.image_ids) == list(outside.image_ids[chosen]) == list(part.factors["sex"])
        assert list(part.groups) == list(outside.groups[chosen])
    assert [found.apart.classes[label] for label in found.apart.labels[:2]] == ["bacterial", "viral"]


def test_a_class_of_the_same_name_needs_no_map(pictures: Callable[..., LabelledImages]) -> None:
    data = pictures()
    found = match_classes(data, data.classes[::-1], model="reader")
    assert found.reasons == {}
    assert [data.classes[label] for label in data.labels] == [found.judged.classes[at] for at in found.judged.labels]


def test_what_is_left_out_is_apart_although_the_model_has_it(pictures: Callable[..., LabelledImages]) -> None:
    data = pictures()
    found = match_classes(data, data.classes, ExternalClassesConfig(leave_out=("cxr-opacity",)), model="reader")
    assert found.reasons == {"cxr-opacity": "left out as asked"}
    assert not (found.judged.labels == data.classes.index("cxr-opacity")).any()


def test_a_class_that_is_left_out_although_it_looks_known_is_said(
    outside: LabelledImages, caplog: pytest.LogCaptureFixture
) -> None:
    match(outside, map={"viral": "cxr-pneumonia"})
    assert "10 images of 'NORMAL' are in no figure" in caplog.text
    assert "the model has no such class. Did you mean 'cxr-normal'?" in caplog.text


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"map": {"NORML": "cxr-normal"}}, r"map names 'NORML', which is no class of 0123456789ab .*mean 'NORMAL'\?"),
        ({"map": {"viral": "cxr-pneumona"}}, r"'cxr-pneumona', which is no class of model 'reader'.*'cxr-pneumonia'"),
        ({"leave_out": ("Hernia",)}, r"leave_out names 'Hernia'.*Did you mean 'hernia'\?"),
        ({"leave_out": ("quite other",)}, r"\(NORMAL, bacterial, viral, hernia\)\.$"),
    ],
)
def test_a_name_that_is_nowhere_is_refused_with_those_that_look_like_it(
    outside: LabelledImages, config: dict[str, object], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        match(outside, **config)


def test_nothing_left_is_an_error_that_says_what_to_write(outside: LabelledImages) -> None:
    with pytest.raises(InputError, match=r"no image of 0123456789ab.*'map: \{NORMAL: cxr-normal\}'"):
        match(outside)


def test_the_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "classes.yaml"
    path.write_text('map: {pneumonia: cxr-pneumonia, "0": cxr-normal}\nleave_out: [hernia]\n', encoding="utf-8")
    found = read_external_classes(path)
    assert found == ExternalClassesConfig({"pneumonia": "cxr-pneumonia", "0": "cxr-normal"}, ("hernia",))
    path.write_text("", encoding="utf-8")
    assert read_external_classes(path) == ExternalClassesConfig()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("map: {0: cxr-normal}\n", "a class is named 0, which is no text: put it in quotes"),
        ("map: {no: cxr-normal}\n", "a class is named False"),
        ("map: [cxr-normal]\n", "map must be a mapping"),
        ("leave_out: hernia\n", "leave_out must be a list"),
        ("map: {hernia: cxr-normal}\nleave_out: [hernia]\n", "hernia is in map and in leave_out"),
        ("mapp: {}\n", "has no setting mapp"),
        ("- hernia\n", "must hold 'map'"),
        ("a: [\n", "no YAML"),
    ],
)
def test_a_file_that_is_not_as_it_must_be_is_refused_in_one_line_by_name(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "classes.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=says) as refused:
        read_external_classes(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read the classes .*none\.yaml"):
        read_external_classes(tmp_path / "none.yaml")
