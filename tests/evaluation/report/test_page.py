"""The report: one file, complete, that leads nowhere and names nobody."""

import base64
import io
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from secondread.config.evaluate import EvaluateConfig
from secondread.config.gate import GateConfig
from secondread.evaluation.evaluate import evaluate
from secondread.evaluation.labelled_images import LabelledImages
from secondread.evaluation.metrics.by_name import OVERALL
from secondread.evaluation.report.page import NOTICE, Gallery, render_html, summary_markdown
from secondread.evaluation.results import Evaluation
from secondread.model.folder import ModelFolder, Thresholds
from secondread.model.session import Explanation, Outputs

QUICK = EvaluateConfig(resamples=100, stress_images=0, strange_images=0, timed_runs=0)
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Collects a page's text, pictures and attributes, and checks that every element is closed."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.text = ""
        self.pictures: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.tags: list[str] = []
        self._open: list[str] = []
        self.feed(document)
        self.text = " ".join(self.text.split())
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag == "img":
            self.pictures.append(dict(attrs)["src"] or "")
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open[-1:]:
            self.text += f" {data}"


@pytest.fixture
def judged(
    quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages]
) -> Callable[..., tuple[Evaluation, Gallery]]:
    def judge(*, synthetic: bool = False, above: float = 0.7, count: int = 4) -> tuple[Evaluation, Gallery]:
        data = pictures(synthetic=synthetic)
        model = quarters()
        found = evaluate(model, data, config=QUICK, policy=GateConfig(accuracy_above=above))
        # what the graph says, computed by hand
        means = data.images.reshape(-1, 2, 8, 2, 8).mean(axis=(2, 4)).reshape(-1, 4) / 32
        exponents = np.exp(means - means.max(axis=1, keepdims=True))
        probabilities = exponents / exponents.sum(axis=1, keepdims=True)
        gallery = Gallery.choose(
            data.images, data.labels, probabilities, found.classes, image_ids=data.image_ids, count=count
        )
        return found, gallery

    return judge


def test_the_page_says_what_was_judged_and_how_it_went(judged: Callable[..., tuple[Evaluation, Gallery]]) -> None:
    found, gallery = judged()
    page = Page(render_html(found, gallery))
    for part in (
        "quarters",
        "0123456789ab",
        "gate passed",
        "accuracy 0.8000 is above 0.7",
        NOTICE,
        "Accuracy 0.800",
        "95 % interval",
        "Title of cxr-covid",
        "called by the model",
        "true positive rate (sensitivity)",
        "confidence of the model",
    ):
        assert part in page.text, part
    labels = [value for name, value in page.attributes if name == "aria-label"]
    for picture in ("Confusion matrix", "ROC curve", "Precision-recall curve", "Reliability diagram"):
        assert any(label.startswith(picture) for label in labels)


def test_every_figure_is_shown_with_its_interval(judged: Callable[..., tuple[Evaluation, Gallery]]) -> None:
    found, gallery = judged()
    page = Page(render_html(found, gallery))
    for name, item in found.metrics.items():
        assert f"{OVERALL[name]} {item.value:.3f} 95 % interval {item.low:.3f} to {item.high:.3f}" in page.text, name
    item = found.per_class["cxr-covid"]
    for name in ("recall", "specificity", "precision", "f1", "auroc", "average_precision"):
        assert f"{item[name].value:.3f} {item[name].low:.3f} to {item[name].high:.3f}" in page.text, name


def test_what_chance_does_to_the_calibration_error_is_said(
    judged: Callable[..., tuple[Evaluation, Gallery]],
) -> None:
    found, gallery = judged()
    likely = found.calibration.ece_if_calibrated
    assert f"confidences would show {likely.low:.3f} to {likely.high:.3f}" in Page(render_html(found, gallery)).text
    assert f"calibration error of {likely.low:.3f} to {likely.high:.3f}." in summary_markdown(found)
    for value, says in ((likely.high, "inside of that"), (likely.high + 0.01, "outside of that")):
        metrics = {**found.metrics, "ece": replace(found.metrics["ece"], value=value)}
        assert says in Page(render_html(replace(found, metrics=metrics), gallery)).text


def test_thresholds_from_val_are_shown_with_what_they_reach(
    quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages]
) -> None:
    thresholds = Thresholds(0.3, 255.0, sensitivity=0.8, by_class={"cxr-covid": 0.625})
    found = evaluate(quarters(thresholds=thresholds), pictures(), config=QUICK)
    page = Page(render_html(found, Gallery()))
    at = found.thresholds["cxr-covid"].sensitivity
    assert "chosen on val so that on average 80 % of the patients" in page.text
    assert f"0.625 {at.value:.3f} {at.low:.3f} to {at.high:.3f}" in page.text
    assert "Title of cxr-normal" in page.text


def test_a_model_without_such_thresholds_has_no_columns_for_them(
    judged: Callable[..., tuple[Evaluation, Gallery]],
) -> None:
    assert "Threshold from val" not in Page(render_html(*judged())).text


def test_a_refusal_is_said_with_its_reason(judged: Callable[..., tuple[Evaluation, Gallery]]) -> None:
    found, gallery = judged(above=0.9)
    page = Page(render_html(found, gallery))
    assert "gate refused" in page.text
    assert "accuracy 0.8000 is not above 0.9" in page.text
    assert "gate passed" not in page.text


def test_nothing_is_fetched_and_nothing_runs(judged: Callable[..., tuple[Evaluation, Gallery]]) -> None:
    document = render_html(*judged())
    page = Page(document)
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert not re.search(r"https?:|//[a-z]|@import|url\(", document)
    assert all(source.startswith("data:image/png;base64,") for source in page.pictures)
    assert ("content", "default-src 'none'; img-src data:; style-src 'unsafe-inline'") in page.attributes


def test_nothing_names_a_patient(judged: Callable[..., tuple[Evaluation, Gallery]]) -> None:
    found, gallery = judged()
    assert "secret" not in render_html(found, gallery)
    assert "secret" not in summary_markdown(found)


@pytest.mark.parametrize("synthetic", [True, False])
def test_generated_images_are_said_to_be_so(judged: Callable[..., tuple[Evaluation, Gallery]], synthetic: bool) -> None:
    found, gallery = judged(synthetic=synthetic)
    assert ("SYNTHETIC IMAGES" in Page(render_html(found, gallery)).text) is synthetic
    assert ("SYNTHETIC IMAGES" in summary_markdown(found)) is synthetic


def test_the_galleries_hold_the_surest_errors_and_the_least_sure(
    judged: Callable[..., tuple[Evaluation, Gallery]],
) -> None:
    found, gallery = judged(count=4)
    assert len(gallery.confidently_wrong) == 4
    assert not any(item.right for item in gallery.confidently_wrong)
    sure = [item.confidence for item in gallery.confidently_wrong]
    assert sure == sorted(sure, reverse=True)
    unsure = [item.confidence for item in gallery.least_confident]
    assert unsure == sorted(unsure)
    page = Page(render_html(found, gallery))
    assert len(page.pictures) == 8
    first = gallery.confidently_wrong[0]
    assert f"{first.predicted} {100 * first.confidence:.0f} %" in page.text
    assert f"true: {first.label}" in page.text
    assert first.image_id[:12] in page.text


def test_pictures_are_the_images_as_the_model_saw_them(
    judged: Callable[..., tuple[Evaluation, Gallery]], pictures: Callable[..., LabelledImages]
) -> None:
    _, gallery = judged()
    shown = gallery.confidently_wrong[0]
    encoded = base64.b64decode(shown.picture.removeprefix("data:image/png;base64,"))
    data = pictures()
    place = list(data.image_ids).index(shown.image_id)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encoded))), data.images[place, 0])


def explained(named: np.ndarray) -> Callable[[np.ndarray], Explanation]:
    """A graph that names each image so, and looked at its top left corner."""
    answers = iter(named)

    def explain(images: np.ndarray) -> Explanation:
        probabilities = np.eye(4, dtype=np.float32)[[next(answers) for _ in images]]
        saliency = np.zeros((len(images), 16, 16), np.float32)
        saliency[:, 1:4, 2:5] = 1
        return Explanation(Outputs(probabilities, probabilities, probabilities[:, 0]), saliency)

    return explain


def with_maps(pictures: Callable[..., LabelledImages], explain: Callable[[np.ndarray], Explanation] | None) -> Gallery:
    """Two pictures of each kind; the surest errors and the least sure are all taken for class 2."""
    data = pictures()
    probabilities = np.full((40, 4), 0.1)
    probabilities[:, 2] = np.linspace(0.4, 0.9, 40)
    return Gallery.choose(
        data.images, data.labels, probabilities, data.classes, image_ids=data.image_ids, count=2, explain=explain
    )


def test_beside_each_picture_is_the_same_with_where_the_network_looked(
    judged: Callable[..., tuple[Evaluation, Gallery]], pictures: Callable[..., LabelledImages]
) -> None:
    found, _ = judged()
    gallery = with_maps(pictures, explained(np.full(4, 2)))
    page = Page(render_html(found, gallery))
    assert len(page.pictures) == 8
    item, data = gallery.confidently_wrong[0], pictures()
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(item.overlay.removeprefix("data:image/png;base64,")))))
    image = data.images[list(data.image_ids).index(item.image_id), 0]
    np.testing.assert_array_equal(shown[8:], np.repeat(image[8:, :, None], 3, axis=2))
    assert (shown[1:4, 2:5, 0] > shown[1:4, 2:5, 2]).all(), "yellow where it is strongest"
    alternatives = [value for name, value in page.attributes if name == "alt"]
    assert alternatives.count("Where the network looked: strongest in columns 2 to 5, rows 1 to 4") == 4
    for words in ("where the network looked and not why", "Adebayo et al. 2018", "weak strong"):
        assert words in page.text


def test_a_map_of_another_answer_is_not_shown(pictures: Callable[..., LabelledImages]) -> None:
    """The graph that is served may be quantized, and the one that explains is not."""
    gallery = with_maps(pictures, explained(np.array([2, 1, 2, 0])))
    shown = [bool(item.overlay) for item in (*gallery.confidently_wrong, *gallery.least_confident)]
    assert shown == [True, False, True, False]


def test_a_model_without_maps_says_nothing_of_them(
    judged: Callable[..., tuple[Evaluation, Gallery]], pictures: Callable[..., LabelledImages]
) -> None:
    gallery = with_maps(pictures, None)
    assert not gallery.explained
    page = Page(render_html(judged()[0], gallery))
    assert "looked" not in page.text
    assert len(page.pictures) == 4


def test_no_error_leaves_no_empty_gallery(
    quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages]
) -> None:
    found = evaluate(quarters(), pictures(40, wrong_every=1_000), config=QUICK)
    assert "No image of this set was read wrongly." in Page(render_html(found, Gallery())).text


def test_the_summary_is_a_markdown_table(judged: Callable[..., tuple[Evaluation, Gallery]]) -> None:
    found, _ = judged()
    text = summary_markdown(found)
    assert "## quarters: passed on test" in text
    assert re.search(r"\| Accuracy \| 0\.800 \| 0\.\d{3} to [01]\.\d{3} \|", text)
    assert re.search(r"\| cxr-covid \| 10 \| [01]\.\d{3} \([01]\.\d{3} to [01]\.\d{3}\) \|", text)
    assert NOTICE in text


def test_what_is_known_beyond_the_figures_is_on_the_page(
    quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages]
) -> None:
    data = pictures(200)
    sexes = np.where(np.arange(200) // 2 % 2 == 0, "F", "M").astype(object)
    config = EvaluateConfig(resamples=100, stress_images=40, strange_images=2, timed_runs=5)
    found = evaluate(quarters(), replace(data, factors={"sex": sexes}), config=config)
    page = render_html(found, Gallery())
    for title in (
        "Beside a first reader",
        "Where it is sure",
        "For whom it is worse",
        "What breaks it",
        "How it behaves",
        "What is none of its field",
    ):
        assert f"<h2>{title}</h2>" in page
    assert "<td>this set</td>" in page, "it learned from another version: to turn an image away may be right"
    assert "its own (false alarms)" in render_html(replace(found, own_version=True), Gallery())
    assert "could not be run" in page, "no modality is known: the side marker cannot be asked about"
    labels = [value for name, value in Page(page).attributes if name == "aria-label"]
    for figure in ("accuracy", "ece"):
        assert any(label.startswith(f"{figure} over the strength of each corruption") for label in labels)
    bare = render_html(replace(found, evidence=None), Gallery())
    assert "What breaks it" not in bare
