from __future__ import annotations

import pytest

from secondread.data.sources.phantom.latents import MODALITY_OF
from secondread.data.sources.phantom.spec import PhantomSpec, parse_uri
from secondread.errors import InputError


def test_every_parameter_may_be_left_out() -> None:
    assert parse_uri("phantom://demo") == PhantomSpec()
    assert PhantomSpec().classes == tuple(MODALITY_OF)


def test_every_parameter_is_read() -> None:
    spec = parse_uri("phantom://demo?images=90&size=64&seed=7&wrong_labels=0.1&classes=oct-dme,cxr-normal")
    assert spec == PhantomSpec(classes=("cxr-normal", "oct-dme"), images=90, size=64, seed=7, wrong_labels=0.1)


@pytest.mark.parametrize("modality", ["cxr", "oct"])
def test_a_set_of_one_modality_has_its_classes_only(modality: str) -> None:
    spec = parse_uri(f"phantom://{modality}")
    assert spec.modalities == (modality,)
    assert spec.classes == tuple(name for name in MODALITY_OF if name.startswith(modality))


@pytest.mark.parametrize(
    ("uri", "named"),
    [
        ("phantom://demo?images=0", "images=0 is out of range: give 1 to 1000000"),
        ("phantom://demo?images=2000000", "images=2000000 is out of range"),
        ("phantom://demo?images=many", "images='many' is no whole number"),
        ("phantom://demo?images=" + "9" * 5000, "is no whole number"),
        ("phantom://demo?size=31", "size=31 is out of range: give 32 to 1024"),
        ("phantom://demo?size=64.5", "size='64.5' is no whole number"),
        ("phantom://demo?seed=-1", "seed=-1 is out of range: give 0 to 4294967295"),
        ("phantom://demo?wrong_labels=0.6", "wrong_labels=0.6 is out of range: give 0.0 to 0.5"),
        ("phantom://demo?wrong_labels=nan", "wrong_labels=nan is out of range"),
        ("phantom://demo?wrong_labels=few", "wrong_labels='few' is no number"),
        ("phantom://demo?colour=red", "'colour' in .* is not known: use images, size, seed, wrong_labels, classes"),
        ("phantom://demo?size=64&size=96", "size is given twice"),
        ("phantom://demo?classes=", "classes names ''"),
        ("phantom://demo?classes=cxr-fracture", "classes names 'cxr-fracture'"),
        ("phantom://oct?classes=cxr-covid", "classes names 'cxr-covid', which phantom://oct does not have"),
        ("phantom://mri", "write phantom://demo, phantom://cxr or phantom://oct"),
        ("phantom://", "write phantom://demo"),
        ("phantom://demo/more", "write phantom://demo"),
    ],
)
def test_a_wrong_uri_is_refused_in_one_line_that_names_parameter_and_range(uri: str, named: str) -> None:
    with pytest.raises(InputError, match=named) as caught:
        parse_uri(uri)
    assert "\n" not in str(caught.value)


def test_an_empty_choice_of_classes_is_refused() -> None:
    with pytest.raises(InputError, match="classes is empty"):
        PhantomSpec(classes=())


def test_the_fingerprint_follows_every_parameter_but_not_the_spelling() -> None:
    fingerprint = parse_uri("phantom://demo").fingerprint()
    assert parse_uri("phantom://demo?seed=0&images=2700").fingerprint() == fingerprint
    others = ("images=2699", "size=96", "seed=1", "wrong_labels=0.02", "classes=oct-cnv,oct-dme")
    found = {parse_uri(f"phantom://demo?{other}").fingerprint() for other in others}
    assert len(found | {fingerprint}) == len(others) + 1
