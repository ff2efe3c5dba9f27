"""What stands twice: which copy stays, and what no copy can settle."""

import pandas as pd
import pytest

from secondread.data.cleaning.duplicates import mark_duplicates


def stored(name: str, pixels: str, label: str = "normal", patient: str = "", reason: str = "") -> dict[str, str]:
    return {"name": name, "pixel_hash": pixels, "label": label, "patient_id": patient, "reason": reason}


def sorted_names(*items: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    reasons = mark_duplicates(pd.DataFrame(items)).set_index("name")["reason"]
    return list(reasons[reasons == ""].index), dict(reasons[reasons != ""])


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
    broken = stored("a", "", reason="the file is empty.")
    assert sorted_names(broken, stored("b", "x")) == (["b"], {"a": "the file is empty."})
