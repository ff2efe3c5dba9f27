"""What stands twice: which copy stays, and what no copy can settle."""

import pytest

from secondread.data.duplicates import sort_out
from secondread.data.intake import StoredImage
from secondread.data.sources.source import SourceImage


def stored(name: str, pixels: str, label: str = "normal", patient: str = "") -> StoredImage:
    image = SourceImage(name=name, label=label, read=bytes, patient_id=patient)
    return StoredImage(image, image_id=name, row={"pixel_hash": pixels})


def sorted_names(*items: StoredImage) -> tuple[list[str], dict[str, str]]:
    kept, rejected = sort_out(items)
    return [item.image.name for item in kept], {item.image.name: item.reason for item in rejected}


COPY = "is a copy of another image."


@pytest.mark.parametrize("patient", ["", "P1"])
def test_the_first_of_two_copies_of_one_patient_stays(patient: str) -> None:
    kept, rejected = sorted_names(stored("a", "x", patient=patient), stored("b", "x", patient=patient))
    assert kept == ["a"]
    assert rejected == {"b": COPY}


def test_a_copy_that_names_the_patient_stays_wherever_it_stands() -> None:
    assert sorted_names(stored("a", "x"), stored("b", "x", patient="P1")) == (["b"], {"a": COPY})
    assert sorted_names(stored("b", "x", patient="P1"), stored("a", "x")) == (["b"], {"a": COPY})


def test_copies_of_two_known_patients_both_stay() -> None:
    items = [stored(name, "x", patient=patient) for name, patient in (("a", "P1"), ("b", "P2"), ("c", "P1"))]
    assert sorted_names(*items) == (["a", "b"], {"c": COPY})


def test_pixels_under_two_labels_are_left_out_whoever_they_are_of() -> None:
    kept, rejected = sorted_names(
        stored("a", "x", "normal", "P1"), stored("b", "x", "covid", "P2"), stored("c", "y"), stored("d", "x", "covid")
    )
    assert kept == ["c"]
    assert set(rejected.values()) == {"stands under two labels (covid, normal)."}


def test_what_could_not_be_read_keeps_its_reason() -> None:
    broken = StoredImage(SourceImage(name="a", label="normal", read=bytes), image_id="1", reason="the file is empty.")
    assert sorted_names(broken, stored("b", "x")) == (["b"], {"a": "the file is empty."})
