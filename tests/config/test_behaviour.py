"""Behaviour tests as YAML: what comes with the library can be read, and what is not known is refused by name."""

from pathlib import Path

import pytest

from secondread.config.behaviour import BehaviourConfig, Direction, Invariance, Minimum
from secondread.config.changes import AsDicom, AsPng, Opacity
from secondread.errors import InputError
from secondread.evaluation.stress.behaviour import read_behaviour

INVARIANCE = "invariance:\n  - {name: a, asks: Same., change: as_png"


def written(folder: Path, text: str) -> Path:
    path = folder / "behaviour.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_tests_that_come_with_the_library_ask_what_the_design_names() -> None:
    tests = {test.name: test for test in read_behaviour().tests}
    assert tests["png-and-dicom"].reference == AsPng()
    assert tests["png-and-dicom"].change == AsDicom(bits=12)
    assert {"a-little-brighter", "a-little-darker", "side-marker", "black-border", "white-border"} <= set(tests)
    assert isinstance(tests["added-opacity"], Direction)
    assert isinstance(tests["added-opacity"].change, Opacity)
    assert isinstance(tests["typical-phantoms"], Minimum)
    champion = tests["what-the-champion-is-sure-of"]
    assert isinstance(champion, Minimum)
    assert (champion.cases, champion.reference_needed) == ("confident", False)


def test_a_file_of_ones_own_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, f"{INVARIANCE}, tolerance: 0, allowed_share: 0.1}}\nseed: 4\nlevel: 0.9\n")
    expected = Invariance(name="a", asks="Same.", change=AsPng(), tolerance=0.0, allowed_share=0.1)
    assert read_behaviour(path) == BehaviourConfig(tests=(expected,), seed=4, level=0.9)


def test_a_folder_of_films_is_relative_to_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "minimum:\n  - {name: a, asks: Right., cases: folder, folder: easy}\n")
    assert read_behaviour(path).tests[0].folder == str(tmp_path / "easy")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [\n", "no YAML"),
        ("- a\n", "must have lists 'invariance', 'direction' or 'minimum'"),
        ("{}\n", "there is no test"),
        ("invarience: []\n", "there is no setting invarience. There are invariance, direction, minimum"),
        ("invariance: 3\n", "invariance must be a list"),
        ("invariance: [a]\n", r"invariance\[0\] must be a mapping"),
        ("invariance: [{name: a, asks: b}]\n", r"invariance\[0\] \(a\) lacks change"),
        ("minimum: [{name: a, asks: b}]\n", r"minimum\[0\] \(a\) lacks cases"),
        (f"{INVARIANCE}, tolerence: 0.1}}\n", r"invariance\[0\] \(a\) has no setting tolerence"),
        (f"{INVARIANCE}, tolerance: 2}}\n", r"invariance\[0\] \(a\)\.tolerance must be in \[0, 1\), not 2"),
        (f"{INVARIANCE}, allowed_share: all}}\n", r"allowed_share must be of type float"),
        (f"{INVARIANCE}, reference: sepia}}\n", r"invariance\[0\] \(a\)\.reference is 'sepia': give 'kind'"),
        (f"{INVARIANCE}, images_at_least: 500}}\n", "images_at_least must be from 1 to images_at_most"),
        (f"{INVARIANCE}}}\ndirection:\n  - {{name: a, asks: Up., change: opacity}}\n", "two tests are called 'a'"),
        ("minimum: [{name: a, asks: b, cases: all}]\n", "cases must be one of phantoms, confident, folder"),
        ("minimum: [{name: a, asks: b, cases: folder}]\n", "folder must be named where cases is 'folder'"),
        ("minimum: [{name: a, asks: b, cases: phantoms, reference_needed: false}]\n", "where cases is 'confident'"),
        (f"{INVARIANCE}}}\nlevel: 95\n", r"level must be in \[0.5, 1\)"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_that_names_the_file(tmp_path: Path, text: str, says: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError, match=says) as refused:
        read_behaviour(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_missing_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the behaviour tests"):
        read_behaviour(tmp_path / "nowhere.yaml")
