"""A growing folder of what once failed: every case is run, and it is said which still fail and which were mended."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from secondread.data.pixels.preprocess import Preprocessing
from secondread.data.sources.phantom.render import phantom_image
from secondread.errors import InputError
from secondread.evaluation.stress.known_failures import read_cases, run_known_failures
from secondread.taxonomy import ClassInfo, Taxonomy

SPEC = Preprocessing(64)
CLASSES = Taxonomy((ClassInfo("cxr-normal"), ClassInfo("cxr-tuberculosis")))
CASE = "sentence: A normal film in a white frame was called tuberculosis.\nlabel: cxr-normal\nsince: 2026-11-20\n"
PHANTOM = "phantom: {label: cxr-normal, seed: 3}\n"
FRAME = "change: {kind: border, width: 0.06, grey: 255}\n"


def case(root: Path, name: str, text: str, image: np.ndarray | None = None) -> None:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "case.yaml").write_text(text, encoding="utf-8")
    if image is not None:
        Image.fromarray(image).save(folder / "image.png")


def by_frame(batch: np.ndarray) -> np.ndarray:
    """Calls whatever has a white edge tuberculosis, and everything else normal."""
    white = batch[:, 0, 0].mean(axis=1) > 250
    return np.where(white[:, None], [0.2, 0.8], [0.9, 0.1])


def run(root: Path, predict=by_frame):
    return run_known_failures(predict, read_cases(root), taxonomy=CLASSES, preprocessing=SPEC)


def test_what_still_fails_and_what_was_mended_is_said(tmp_path: Path) -> None:
    case(tmp_path, "white-frame", CASE + PHANTOM + FRAME)
    case(tmp_path, "no-frame", CASE + PHANTOM)
    found = run(tmp_path)
    assert {each.name: each.verdict for each in found.cases} == {"no-frame": "mended", "white-frame": "still fails"}
    (failing,) = found.of("still fails")
    assert failing.sentence == "A normal film in a white frame was called tuberculosis."
    assert (failing.label, failing.since, failing.answer) == ("cxr-normal", "2026-11-20", "cxr-tuberculosis")
    assert failing.probability == pytest.approx(0.2)


def test_a_model_that_learned_better_mends_it(tmp_path: Path) -> None:
    case(tmp_path, "white-frame", CASE + PHANTOM + FRAME)
    found = run(tmp_path, predict=lambda batch: np.tile([0.6, 0.4], (len(batch), 1)))
    assert [each.verdict for each in found.cases] == ["mended"]


def test_an_image_of_ones_own_is_read_as_any_film_is(tmp_path: Path) -> None:
    film = phantom_image("cxr-normal", size=100, seed=1)
    film[:2] = 255
    case(tmp_path, "own", CASE, image=film)
    assert [each.verdict for each in run(tmp_path).cases] == ["still fails"]


def test_a_case_of_a_class_that_the_model_lacks_is_not_mended(tmp_path: Path) -> None:
    case(tmp_path, "other", CASE.replace("cxr-normal", "cxr-covid") + PHANTOM)
    (found,) = run(tmp_path).cases
    assert found.verdict == "could not be run"
    assert "'cxr-covid' is not a class" in found.reason
    assert math.isnan(found.probability)


def test_a_damaged_image_is_named_and_the_others_are_run(tmp_path: Path) -> None:
    case(tmp_path, "damaged", CASE)
    (tmp_path / "damaged" / "image.png").write_bytes(b"\x89PNG\r\n\x1a\nshort")
    case(tmp_path, "whole", CASE + PHANTOM)
    damaged, whole = run(tmp_path).cases
    assert (damaged.verdict, whole.verdict) == ("could not be run", "mended")
    assert damaged.reason


def test_the_same_case_is_the_same_pixels_each_time(tmp_path: Path) -> None:
    case(tmp_path, "white-frame", CASE + PHANTOM + FRAME)
    seen = []
    for _ in range(2):
        run(tmp_path, predict=lambda batch: (seen.append(batch.tobytes()), by_frame(batch))[1])
    assert seen[0] == seen[1]


def test_an_empty_folder_is_no_case(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    assert run(tmp_path).cases == ()


def test_the_example_in_the_documents_can_be_run() -> None:
    three = Taxonomy((*CLASSES.classes, ClassInfo("cxr-covid"), ClassInfo("cxr-opacity")))
    cases = read_cases(Path(__file__).parents[3] / "docs" / "known-failures")
    assert [each.name for each in cases] == ["bright-film", "side-marker", "white-frame"]
    found = run_known_failures(
        lambda batch: np.tile([0.7, 0.1, 0.1, 0.1], (len(batch), 1)), cases, taxonomy=three, preprocessing=SPEC
    )
    assert [each.verdict for each in found.cases] == ["still fails", "mended", "mended"]


def test_what_the_model_was_given_is_kept_for_the_report_and_is_not_in_the_json(tmp_path: Path) -> None:
    case(tmp_path, "white-frame", CASE + PHANTOM + FRAME)
    found = run(tmp_path)
    assert found.cases[0].pixels.shape == (64, 64)
    assert found.cases[0].pixels[0].min() == 255
    assert "pixels" not in found.to_json()["cases"][0]


def test_json_counts_the_verdicts_and_has_no_nan(tmp_path: Path) -> None:
    case(tmp_path, "white-frame", CASE + PHANTOM + FRAME)
    case(tmp_path, "other", CASE.replace("cxr-normal", "cxr-covid") + PHANTOM)
    document = run(tmp_path).to_json()
    assert document["counts"] == {"still fails": 1, "mended": 0, "could not be run": 1}
    assert "NaN" not in json.dumps(document)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [\n", "no YAML"),
        ("- a\n", "must map sentence"),
        ("label: cxr-normal\n", "it lacks sentence, since"),
        (CASE, "exactly one of them"),
        (CASE + PHANTOM + "severity: high\n", "has no setting severity"),
        (CASE.replace("2026-11-20", "last year") + PHANTOM, "since must be a date such as 2026-11-20, not 'last year'"),
        (CASE + "phantom: cxr-normal\n", "phantom must be a mapping with the label"),
        (CASE + "phantom: {label: cxr-flu}\n", "no class 'cxr-flu'"),
        (CASE + "phantom: {label: cxr-normal, size: 9}\n", r"phantom\.size must be from 32"),
        (CASE + PHANTOM + "change: sepia\n", "change is 'sepia'"),
    ],
)
def test_a_case_that_is_not_written_as_it_must_be_is_refused_by_name(tmp_path: Path, text: str, says: str) -> None:
    case(tmp_path, "mine", text)
    with pytest.raises(InputError, match=says) as refused:
        read_cases(tmp_path)
    assert "mine" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_case_without_its_file_and_a_folder_that_is_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(InputError, match=r"cannot read .*mine/case\.yaml"):
        read_cases(tmp_path)
    with pytest.raises(InputError, match="is no folder"):
        read_cases(tmp_path / "nowhere")
