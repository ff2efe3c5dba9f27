"""The drop is external minus internal over the classes of both, with the interval of two independent sets."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import recall_score, roc_auc_score

from secondread.config.evaluate import EvaluateConfig
from secondread.errors import InputError, IntegrityError
from secondread.evaluation.evaluate import evaluate
from secondread.evaluation.external.drop import difference
from secondread.evaluation.intervals import bootstrap
from secondread.evaluation.intervals.estimate import Estimate
from secondread.evaluation.labelled_images import LabelledImages
from secondread.evaluation.metrics.by_name import OVERALL
from secondread.model.folder import ModelFolder
from secondread.model.session import GraphSession

QUICK = EvaluateConfig(resamples=200, shown_images=0, stress_images=0, strange_images=0, timed_runs=0)


@lru_cache(maxsize=1_000)
def share(hits: int, of: int) -> Estimate:
    bounds = binomtest(hits, of).proportion_ci(0.95, method="wilson")
    return Estimate(hits / of, bounds.low, bounds.high)


def elsewhere(data: LabelledImages, *, seed: int = 7) -> LabelledImages:
    """Other patients' images: the same ones with a little noise."""
    noise = np.random.default_rng(seed).integers(0, 20, data.images.shape, dtype=np.uint8)
    names = np.array([f"other-{name}" for name in data.image_ids], dtype=object)
    return replace(data, images=data.images + noise, image_ids=names, groups=names, name="elsewhere", split="all")


@pytest.fixture
def tested(
    quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages], tmp_path: Path
) -> tuple[ModelFolder, Path]:
    """A model, and its evaluation on its own test: 120 images, one in five read wrongly."""
    model = quarters()
    evaluate(model, pictures(120), output=tmp_path / "internal", config=QUICK)
    return model, tmp_path / "internal"


def without(data: LabelledImages, name: str) -> LabelledImages:
    return data.take(data.labels != data.classes.index(name))


def test_the_interval_is_the_published_one_of_two_shares() -> None:
    """Newcombe 1998, table II: 56 of 70 less 48 of 80, and 9 of 10 less 3 of 10, by method 10."""
    first = difference(share(56, 70), share(48, 80))
    assert (first.value, first.low, first.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)
    second = difference(share(9, 10), share(3, 10))
    assert (second.value, second.low, second.high) == pytest.approx((0.6, 0.1705, 0.8090), abs=1e-4)


def test_it_holds_the_true_difference_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    truth = 0.72 - 0.85
    held = []
    for hits, others in zip(random.binomial(80, 0.72, 2_000), random.binomial(160, 0.85, 2_000), strict=True):
        found = difference(share(hits, 80), share(others, 160))
        held.append(found.low <= truth <= found.high)
    assert np.mean(held) == pytest.approx(0.95, abs=0.015)


def test_without_bounds_of_one_there_are_none_of_the_difference() -> None:
    found = difference(Estimate(0.5, math.nan, math.nan), share(9, 10))
    assert found.value == pytest.approx(-0.4)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_every_figure_is_compared_where_both_sets_have_the_same_classes(
    tested: tuple[ModelFolder, Path], pictures: Callable[..., LabelledImages], tmp_path: Path
) -> None:
    model, internal = tested
    found = evaluate(
        model, elsewhere(pictures(80, wrong_every=3)), config=QUICK, against=internal, output=tmp_path / "external"
    )
    before = json.loads((internal / "evaluation.json").read_text(encoding="utf-8"))["metrics"]
    assert found.drop is not None
    assert set(found.drop.figures) == set(OVERALL)
    for name, each in found.drop.figures.items():
        assert each.internal == Estimate(**before[name])
        assert each.external.value == found.metrics[name].value
        assert each.drop.value == pytest.approx(each.external.value - each.internal.value)
        assert each.drop.low < each.drop.value < each.drop.high
    assert (found.drop.n, found.drop.against_n, found.drop.shared_images) == (80, 120, 0)
    assert found.drop.taken_again == ()
    document = json.loads((tmp_path / "external" / "evaluation.json").read_text(encoding="utf-8"))
    assert document["drop"]["figures"]["accuracy"]["drop"]["value"] == pytest.approx(
        found.metrics["accuracy"].value - 0.8
    )
    page = (tmp_path / "external" / "report.html").read_text(encoding="utf-8")
    summary = (tmp_path / "external" / "summary.md").read_text(encoding="utf-8")
    for text in (page, summary):
        assert f"{found.drop.figures['accuracy'].drop.value:+.3f}" in text
        assert "Against 120 images of test of" in text


def test_the_page_says_how_many_of_the_set_s_images_the_model_would_turn_away(
    tested: tuple[ModelFolder, Path], pictures: Callable[..., LabelledImages], tmp_path: Path
) -> None:
    model, internal = tested
    config = replace(QUICK, strange_images=1)
    found = evaluate(model, elsewhere(pictures(80)), config=config, against=internal, output=tmp_path / "external")
    assert found.evidence is not None
    assert found.evidence.not_my_field is not None
    own = found.evidence.not_my_field.own
    page = (tmp_path / "external" / "report.html").read_text(encoding="utf-8")
    assert f"It would turn away <b>{100 * own.share:.0f}&nbsp;%</b> of these images" in page
    assert "<td>this set</td>" in page
    assert "false alarms" not in page, "on another set it may be right to turn an image away"


def test_where_the_set_lacks_a_class_the_test_is_taken_again_without_it(
    tested: tuple[ModelFolder, Path], pictures: Callable[..., LabelledImages]
) -> None:
    model, internal = tested
    found = evaluate(model, without(elsewhere(pictures(80)), "cxr-opacity"), config=QUICK, against=internal)
    own = without(pictures(120), "cxr-opacity")
    said = GraphSession(model.graph_path()).run(own.images).probabilities
    assert found.drop is not None
    assert found.drop.classes == ("cxr-covid", "cxr-normal", "cxr-tuberculosis")
    assert (found.drop.taken_again, found.drop.against_n) == (("internal",), len(own.labels))
    figures = found.drop.figures
    assert figures["accuracy"].internal.value == pytest.approx((said.argmax(axis=1) == own.labels).mean())
    assert figures["balanced_accuracy"].internal.value == pytest.approx(
        recall_score(own.labels, said.argmax(axis=1), labels=[0, 1, 3], average="macro")
    )
    areas = [roc_auc_score(own.labels == index, said[:, index]) for index in (0, 1, 3)]
    assert figures["auroc_macro"].internal.value == pytest.approx(np.mean(areas))
    for each in figures.values():
        assert each.internal.low <= each.internal.value <= each.internal.high
    assert figures["accuracy"].external.value == found.metrics["accuracy"].value


def test_its_intervals_are_about_those_that_the_patients_would_give(
    quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages], tmp_path: Path
) -> None:
    """Each patient has four alike images: drawing images would make intervals half as wide as they should be."""
    model, one = quarters(), pictures(400)
    chosen = np.repeat(np.arange(400), 4)
    own = replace(
        one,
        images=one.images[chosen],
        labels=one.labels[chosen],
        image_ids=np.array([f"{place}" for place in range(1600)], dtype=object),
        groups=one.image_ids[chosen],
    )
    evaluate(model, own, output=tmp_path / "internal", config=QUICK, evidence=False)
    outside = without(elsewhere(pictures(80)), "cxr-opacity")
    found = evaluate(model, outside, config=QUICK, against=tmp_path / "internal", evidence=False)
    part = without(own, "cxr-opacity")
    said = GraphSession(model.graph_path()).run(part.images).probabilities
    truth = bootstrap.intervals(said, part.labels, part.groups, resamples=1_000, seed=1).overall
    assert found.drop is not None
    for name in ("accuracy", "balanced_accuracy", "nll", "brier"):
        assert found.drop.widened[name] == pytest.approx(2, rel=0.2)
        got = found.drop.figures[name].internal
        assert got.high - got.low == pytest.approx(truth[name].high - truth[name].low, rel=0.25)


def test_where_the_test_lacks_a_class_the_set_is_taken_again_by_patient(
    quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages], tmp_path: Path
) -> None:
    model = quarters()
    evaluate(model, without(pictures(120), "cxr-covid"), output=tmp_path / "internal", config=QUICK)
    outside = elsewhere(pictures(80))
    found = evaluate(model, outside, config=QUICK, against=tmp_path / "internal")
    part = without(outside, "cxr-covid")
    alone = evaluate(model, part, config=QUICK)
    assert found.drop is not None
    assert found.drop.taken_again == ("external",)
    accuracy = found.drop.figures["accuracy"].external
    assert (accuracy.value, accuracy.low, accuracy.high) == tuple(vars(alone.metrics["accuracy"]).values())


def test_no_class_in_common_is_said_and_nothing_is_compared(
    quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages], tmp_path: Path
) -> None:
    model, data = quarters(), pictures(80)
    evaluate(model, data.take(data.labels < 2), output=tmp_path / "internal", config=QUICK)
    outside = elsewhere(data.take(data.labels >= 2))
    found = evaluate(model, outside, config=QUICK, against=tmp_path / "internal", output=tmp_path / "external")
    assert found.drop is not None
    assert (found.drop.classes, found.drop.figures) == ((), {})
    for name in ("report.html", "summary.md"):
        text = (tmp_path / "external" / name).read_text(encoding="utf-8").lower()
        assert "no class in common" in text


def test_images_that_are_in_both_sets_are_counted_and_said(
    tested: tuple[ModelFolder, Path], pictures: Callable[..., LabelledImages], tmp_path: Path
) -> None:
    model, internal = tested
    found = evaluate(model, pictures(40), config=QUICK, against=internal, output=tmp_path / "external")
    assert found.drop is not None
    assert found.drop.shared_images == 40
    for name in ("report.html", "summary.md"):
        assert "40 images are in both sets" in (tmp_path / "external" / name).read_text(encoding="utf-8")


def changed(folder: Path, **values: object) -> None:
    path = folder / "evaluation.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **values}), encoding="utf-8")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"digest": "e" * 64}, r"another model or graph \(eeeeeeeeeeee, fp32\.onnx\).*Evaluate this one"),
        ({"graph": "int8.onnx"}, r"another model or graph .*int8\.onnx"),
        ({"level": 0.9}, r"at 0\.9, and not at 0\.95: set evaluate\.level"),
    ],
)
def test_an_evaluation_of_something_else_is_refused(
    tested: tuple[ModelFolder, Path], pictures: Callable[..., LabelledImages], values: dict[str, object], says: str
) -> None:
    model, internal = tested
    changed(internal, **values)
    with pytest.raises(InputError, match=says):
        evaluate(model, elsewhere(pictures()), config=QUICK, against=internal)


def test_a_damaged_evaluation_is_refused(
    tested: tuple[ModelFolder, Path], pictures: Callable[..., LabelledImages], tmp_path: Path
) -> None:
    model, internal = tested
    changed(internal, n=119)
    with pytest.raises(IntegrityError, match="120 predictions of 119 images"):
        evaluate(model, elsewhere(pictures()), config=QUICK, against=internal)
    (internal / "predictions.parquet").write_bytes(b"short")
    with pytest.raises(IntegrityError, match="is no evaluation, or a damaged one"):
        evaluate(model, elsewhere(pictures()), config=QUICK, against=internal)
    with pytest.raises(IntegrityError, match=r"evaluation\.json is missing"):
        evaluate(model, elsewhere(pictures()), config=QUICK, against=tmp_path / "none")


def test_the_evaluation_that_it_is_held_against_is_not_written_over(
    tested: tuple[ModelFolder, Path], pictures: Callable[..., LabelledImages]
) -> None:
    model, internal = tested
    with pytest.raises(InputError):
        evaluate(model, elsewhere(pictures()), config=QUICK, against=internal, output=internal)
    assert (internal / "evaluation.json").is_file()
