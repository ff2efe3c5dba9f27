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
