"""Behaviour tests: a sound reader passes all, and each planted brittle one fails the very test that it must."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import binomtest

from secondread.config.behaviour import BehaviourConfig, Direction, Invariance, Minimum
from secondread.config.changes import Brightness, Opacity
from secondread.data.pixels.preprocess import Preprocessing
from secondread.errors import InputError
from secondread.evaluation.stress.behaviour import clopper_pearson, read_behaviour, run_behaviour
from secondread.evaluation.stress.behaviour_results import Behaviour, BehaviourResult, Films
from secondread.evaluation.stress.easy_films import typical_phantoms
from secondread.taxonomy import ClassInfo, Taxonomy

SIDE = 64
SPEC = Preprocessing(SIDE)
CLASSES = Taxonomy((ClassInfo("cxr-normal", modality="cxr"), ClassInfo("cxr-opacity", modality="cxr")))
BRIGHTER = Brightness(by=0.04)
Reader = Callable[[np.ndarray], np.ndarray]


def shadow(image: np.ndarray) -> float:
    """How much brighter the right lung is than the left one, in grey levels."""
    return float(image[24:34, 14:24].mean() - image[24:34, 40:50].mean())


def says(probability: float) -> list[float]:
    return [1 - probability, probability]


def reader(batch: np.ndarray) -> np.ndarray:
    """Sees an opacity of the right lung, and nothing else."""
    return np.array([says(1 / (1 + math.exp((20 - shadow(image)) / 5))) for image in batch[:, 0]])


def but(odd: Callable[[np.ndarray], bool]) -> Reader:
    """The same reader, who turns the answer over where a film looks odd."""

    def read(batch: np.ndarray) -> np.ndarray:
        return np.array(
            [answer[::-1] if odd(image) else answer for image, answer in zip(batch[:, 0], reader(batch), strict=True)]
        )

    return read


BRITTLE = {
    "a-little-brighter": but(lambda image: image[42:52, 28:36].mean() > 106),
    "a-little-darker": but(lambda image: image[42:52, 28:36].mean() < 94),
    "side-marker": but(lambda image: image[3:8, -9:-3].max() > 150),
    "black-border": but(lambda image: image[0].max() == 0),
    "white-border": but(lambda image: image[0].min() == 255),
    "added-opacity": but(lambda image: shadow(image) > 60),  # takes the densest for healthy
}


def films(patients: int = 60, *, synthetic: bool = False, taxonomy: Taxonomy = CLASSES) -> Films:
    """Grey films, two a patient; in half of the patients the right lung is brighter."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(patients) % 2, 2)
    pixels = rng.normal(100, 2, (2 * patients, 1, SIDE, SIDE))
    pixels[labels == 1, :, 20:38, 10:28] += 40
    return Films(
        images=pixels.astype(np.uint8),
        labels=labels,
        image_ids=np.array([f"{index:04x}" for index in range(2 * patients)], dtype=object),
        patients=np.repeat(np.arange(patients), 2),
        taxonomy=taxonomy,
        preprocessing=SPEC,
        synthetic=synthetic,
    )


def verdicts(found: Behaviour) -> dict[str, str]:
    return {result.name: result.verdict for result in found.results}


def only(found: Behaviour) -> BehaviourResult:
    (result,) = found.results
    return result


def asking(*tests: Invariance | Direction | Minimum, **settings: object) -> BehaviourConfig:
    return BehaviourConfig(tests=tests, **settings)


def test_a_sound_reader_passes_every_test_that_comes_with_the_library() -> None:
    found = run_behaviour(reader, films())
    assert set(verdicts(found).values()) == {"pass", "not asked"}
    assert {name for name, verdict in verdicts(found).items() if verdict == "not asked"} == {
        "typical-phantoms",
        "what-the-champion-is-sure-of",
    }
    assert found.passed
    assert {result.n for result in found.results if result.verdict == "pass"} == {60}  # one film a patient


@pytest.mark.parametrize("name", BRITTLE)
def test_a_brittle_reader_fails_the_test_that_it_must_and_no_other(name: str) -> None:
    found = run_behaviour(BRITTLE[name], films())
    failed = [result.name for result in found.results if result.verdict == "fail"]
    assert failed == [name]
    assert not found.passed


@pytest.mark.parametrize(
    ("broken", "failed"),
    [
        ("secondread.data.pixels.dicom._is_inverted", ["dicom-stored-inverted"]),
        ("secondread.evaluation.stress.changes.encode_png", ["png-and-dicom", "dicom-stored-inverted"]),
    ],
)
def test_a_decoder_that_reads_one_kind_of_file_otherwise_is_found(
    broken: str, failed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from secondread.evaluation.stress.changes import encode_png

    without = {"_is_inverted": lambda *_: False, "encode_png": lambda grey: encode_png(np.flipud(255 - grey))}
    monkeypatch.setattr(broken, without[broken.rpartition(".")[2]])
    found = run_behaviour(reader, films())
    assert [result.name for result in found.results if result.verdict == "fail"] == failed


def test_a_result_says_how_many_failed_with_an_exact_interval_and_names_the_worst() -> None:
    brighter = Invariance(name="b", asks="?", change=BRIGHTER, allowed_share=0.1)
    given = films()

    def odd(batch: np.ndarray) -> np.ndarray:
        """Wrong about bright films that have an opacity, the more so the denser it is."""
        answers = reader(batch)
        bright = batch[:, 0, 42:52, 28:36].mean(axis=(1, 2)) > 106
        answers[bright & (answers[:, 1] > 0.5)] = [0.3, 0.7]
        return answers

    result = only(run_behaviour(odd, given, config=asking(brighter, shown_images=3)))
    assert (result.n, result.failures, result.share) == (60, 30, 0.5)
    expected = binomtest(30, 60).proportion_ci(0.95, method="exact")
    assert (result.low, result.high) == pytest.approx((expected.low, expected.high))
    assert result.verdict == "fail"
    assert result.reason == "30 of 60 films fail, 10.0% may"
    places = [list(given.image_ids).index(name) for name in result.worst]
    assert len(places) == 3
    moved = reader(given.images)[places, 1] - 0.7
    assert (np.diff(moved) <= 1e-9).all()


@pytest.mark.parametrize(("count", "n"), [(0, 30), (1, 30), (7, 200), (30, 30)])
def test_the_interval_of_a_share_is_scipys_exact_one(count: int, n: int) -> None:
    expected = binomtest(count, n).proportion_ci(0.9, method="exact")
    found = clopper_pearson(count, n, 0.9)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_as_many_failures_as_are_allowed_pass_and_one_more_fails() -> None:
    given = films(60)

    def miss(count: int) -> Reader:
        """Has never made up its mind about the films of the first patients, until they are brighter."""
        seen = {image.tobytes() for image in given.images[: 2 * count]}
        return lambda batch: np.array(
            [
                [0.5, 0.5] if image.tobytes() in seen else answer
                for image, answer in zip(batch, reader(batch), strict=True)
            ]
        )

    test = Invariance(name="b", asks="?", change=BRIGHTER, allowed_share=0.1)
    for count, verdict in ((6, "pass"), (7, "fail")):
        assert only(run_behaviour(miss(count), given, config=asking(test))).verdict == verdict


def test_too_few_films_are_no_pass() -> None:
    result = only(run_behaviour(reader, films(29), config=asking(Invariance(name="b", asks="?", change=BRIGHTER))))
    assert result.verdict == "could not be run"
    assert "29 films, one a patient, at least 30 asked" in result.reason
    assert math.isnan(result.share)
    assert not run_behaviour(reader, films(29)).passed


def test_a_model_without_a_healthy_class_cannot_be_asked_for_direction() -> None:
    ill = Taxonomy((ClassInfo("cxr-covid", modality="cxr"), ClassInfo("cxr-opacity", modality="cxr")))
    test = Direction(name="d", asks="?", change=Opacity())
    result = only(run_behaviour(reader, films(taxonomy=ill), config=asking(test)))
    assert result.verdict == "could not be run"
    assert "no class of the model is one of *normal*: set 'healthy'" in result.reason
    named = replace(test, healthy=("cxr-covid",))
    assert only(run_behaviour(reader, films(taxonomy=ill), config=asking(named))).verdict == "pass"


def test_a_model_of_another_modality_is_not_asked_but_one_of_unknown_modality_is() -> None:
    marker = next(test for test in read_behaviour().tests if test.name == "side-marker")
    scans = Taxonomy((ClassInfo("oct-normal", modality="oct"), ClassInfo("oct-dme", modality="oct")))
    unknown = Taxonomy((ClassInfo("normal"), ClassInfo("opacity")))
    of_scans, of_unknown = (
        only(run_behaviour(reader, films(taxonomy=each), config=asking(marker))) for each in (scans, unknown)
    )
    assert (of_scans.verdict, of_scans.reason) == ("not asked", "the model reads no cxr")
    assert of_unknown.verdict == "could not be run"
    assert not run_behaviour(reader, films(taxonomy=scans), config=asking(marker)).passed  # nothing was asked


def test_a_model_that_learned_from_phantoms_must_know_the_typical_ones() -> None:
    test = Minimum(name="m", asks="?", cases="phantoms", images_at_most=40)
    easy = typical_phantoms(CLASSES, SPEC, images=40)
    known = {image.tobytes(): label for image, label in zip(easy.images, easy.labels, strict=True)}

    def by_heart(batch: np.ndarray) -> np.ndarray:
        return np.array([says(0.05 + 0.9 * known[image.tobytes()]) for image in batch])

    right, wrong = (
        only(run_behaviour(each, films(synthetic=True), config=asking(test)))
        for each in (by_heart, lambda batch: by_heart(batch)[:, ::-1])
    )
    assert (right.verdict, right.n, right.failures) == ("pass", 40, 0)
    assert (wrong.verdict, wrong.failures) == ("fail", 40)
    assert wrong.worst[0].startswith("phantom cxr-")


def test_what_the_reference_is_sure_of_and_right_about_must_be_right() -> None:
    given = films()
    test = Minimum(name="m", asks="?", cases="confident", confidence=0.9)
    without = only(run_behaviour(reader, given, config=asking(test)))
    assert (without.verdict, "no reference model" in without.reason) == ("could not be run", True)
    reference = reader(given.images)
    reference[given.labels == 1] = says(0.6)  # right, but not sure: left out
    known = only(run_behaviour(reader, replace(given, reference=reference), config=asking(test)))
    assert (known.verdict, known.n) == ("pass", 30)
    healthy_only = only(
        run_behaviour(lambda batch: 1 - reader(batch), replace(given, reference=reference), config=asking(test))
    )
    assert (healthy_only.verdict, healthy_only.failures) == ("fail", 30)


def test_what_comes_with_the_library_asks_for_the_champions_sure_films_where_there_are_enough_of_them() -> None:
    """Without a champion, or after one that is sure of nothing, it is not asked, with a reason, and fails nobody."""
    name, given = "what-the-champion-is-sure-of", films(80)
    champion, unsure = reader(given.images), reader(given.images)
    unsure[58:] = 0.5  # 29 patients are left

    def asked(predict: Reader, reference: np.ndarray | None) -> Behaviour:
        return run_behaviour(predict, replace(given, reference=reference))

    def told(found: Behaviour) -> tuple[str, str]:
        return next((each.verdict, each.reason) for each in found.results if each.name == name)

    for reference, reason in (
        (None, "there is no reference model that says which films are easy"),
        (np.full_like(champion, 0.5), "there is no film that the reference is sure of and right about"),
        (unsure, "29 films, one a patient, at least 30 asked"),
    ):
        found = asked(reader, reference)
        assert (told(found), found.passed) == (("not asked", reason), True)
    assert told(asked(reader, champion))[0] == "pass"
    forgetful = asked(lambda batch: 1 - reader(batch), champion)
    assert told(forgetful) == ("fail", "80 of 80 films fail, 5.0% may")
    assert not forgetful.passed


def test_easy_films_of_a_folder_must_be_right(tmp_path: Path) -> None:
    given = films(20)
    for place, (image, label) in enumerate(zip(given.images[:, 0], given.labels, strict=True)):
        folder = tmp_path / "easy" / CLASSES.names[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"surname-{place}.png")
    (tmp_path / "tests.yaml").write_text(
        "minimum:\n  - {name: ours, asks: Easy ones are right., cases: folder, folder: easy}\n", encoding="utf-8"
    )
    config = read_behaviour(tmp_path / "tests.yaml")
    right = only(run_behaviour(reader, given, config=config))
    assert (right.verdict, right.n) == ("pass", 40)
    wrong = only(run_behaviour(lambda batch: 1 - reader(batch), given, config=config))
    assert wrong.verdict == "fail"
    assert all(len(name) == 64 for name in wrong.worst)  # no file's name, which may be a patient's
    (tmp_path / "easy" / "cxr-normal").rename(tmp_path / "easy" / "well")
    with pytest.raises(InputError, match="has films of 'well', which is no class of the model"):
        run_behaviour(reader, given, config=config)


def test_json_says_null_where_nothing_is_known() -> None:
    document = run_behaviour(reader, films(10)).to_json()
    assert "NaN" not in json.dumps(document)
    assert document["passed"] is False
    assert document["results"][0]["share"] is None


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="differ in length"):
        replace(films(), labels=np.zeros(3, int))
    with pytest.raises(InputError, match="softmax"):
        run_behaviour(lambda batch: 3 * reader(batch), films())
