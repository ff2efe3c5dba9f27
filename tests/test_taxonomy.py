"""Classes are data: the nine seed classes, and any others."""

import pytest

from secondread.data.taxonomies import seed_taxonomy, taxonomy_of
from secondread.errors import InputError
from secondread.taxonomy import ClassInfo, Taxonomy


def test_the_nine_seed_classes() -> None:
    classes = seed_taxonomy().classes
    assert len(classes) == 9
    assert [info.modality for info in classes].count("cxr") == 5
    assert {info.urgency for info in classes} == {"urgent", "routine"}


def test_a_tenth_class_needs_no_code() -> None:
    taxonomy = taxonomy_of(["oct-dme", "bone-fracture", "cxr-covid"], modality="xr")
    assert taxonomy.names == ("cxr-covid", "oct-dme", "bone-fracture")
    assert taxonomy.classes[2] == ClassInfo("bone-fracture", "bone-fracture", "xr", "unknown")


def test_a_prefix_tells_the_modality() -> None:
    assert taxonomy_of(["cxr-pneumonia"]).classes[0].modality == "cxr"


def test_urgency_may_be_stated_of_any_class_and_comes_before_the_librarys_own() -> None:
    taxonomy = taxonomy_of(["oct-drusen", "cxr-pneumonia", "cxr-normal", "cxr-other"])
    stated = taxonomy.with_urgency(urgent=["cxr-pneumonia", "oct-drusen"], routine=["cxr-other"])
    assert {info.name: info.urgency for info in stated.classes} == {
        "cxr-normal": "routine",
        "oct-drusen": "urgent",
        "cxr-other": "routine",
        "cxr-pneumonia": "urgent",
    }
    assert [info.title for info in stated.classes] == [info.title for info in taxonomy.classes]


@pytest.mark.parametrize(
    ("urgent", "routine", "message"),
    [
        (["cxr-covid", "x"], ["y"], "'x, y' is said to be urgent or routine, but the classes are cxr-covid"),
        (["cxr-covid"], ["cxr-covid"], "'cxr-covid' is said to be urgent and routine"),
    ],
)
def test_an_urgency_of_no_class_or_of_two_kinds_is_refused(urgent: list[str], routine: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        taxonomy_of(["cxr-covid"]).with_urgency(urgent=urgent, routine=routine)


def test_it_survives_json() -> None:
    assert Taxonomy.from_dict(seed_taxonomy().to_dict()) == seed_taxonomy()


@pytest.mark.parametrize("document", [{}, {"classes": [{"title": "x"}]}, {"classes": [{"name": "a", "color": "b"}]}])
def test_what_is_no_taxonomy_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(InputError, match="no taxonomy"):
        Taxonomy.from_dict(document)


def test_an_unknown_label_is_named_with_what_there_is() -> None:
    with pytest.raises(InputError, match=r"label 'x' is not a class of this taxonomy \(a, b\)"):
        Taxonomy((ClassInfo("a"), ClassInfo("b"))).index("x")


def test_a_name_twice_is_refused() -> None:
    with pytest.raises(InputError, match="twice"):
        Taxonomy((ClassInfo("a"), ClassInfo("a")))
