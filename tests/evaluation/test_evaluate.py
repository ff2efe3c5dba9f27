"""Judging a model by the graph that is served, and what is written down."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn.metrics import log_loss

from secondread.config.evaluate import EvaluateConfig
from secondread.config.external_classes import ExternalClassesConfig
from secondread.config.gate import GateConfig
from secondread.config.ingest import IngestConfig
from secondread.config.preprocess import PreprocessConfig
from secondread.data.ingest import ingest
from secondread.data.pixels.preprocess import Preprocessing
from secondread.data.versions.dataset import DatasetVersion
from secondread.data.versions.version import write_dataset_version
from secondread.errors import InputError
from secondread.evaluation.evaluate import evaluate
from secondread.evaluation.labelled_images import LabelledImages
from secondread.evaluation.metrics.by_name import BY_CLASS, COUNTS, OVERALL
from secondread.evaluation.metrics.calibration import ece
from secondread.model.folder import EXPLAIN_GRAPH, FP32_GRAPH, ModelFolder, Thresholds
from secondread.model.session import GraphSession

QUICK = EvaluateConfig(resamples=100, shown_images=4, stress_images=0, strange_images=0, timed_runs=0)


@pytest.fixture
def written(
    quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages], tmp_path: Path
) -> tuple[Path, LabelledImages]:
    data = pictures()
    evaluate(quarters(), data, output=tmp_path / "evaluation", config=QUICK)
    return tmp_path / "evaluation", data


def test_the_graph_itself_is_judged(
    quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages]
) -> None:
    """One label in five is not that of the brightest quarter, which the model calls."""
    found = evaluate(quarters(), pictures(40, wrong_every=5), config=QUICK)
    assert found.metrics["accuracy"].value == pytest.approx(0.8)
    assert found.n == 40
    assert found.groups == 20
    assert np.sum(found.confusion) == 40
    assert np.trace(found.confusion) == 32
    assert found.gate.passed


def test_the_json_is_what_machines_read(written: tuple[Path, LabelledImages]) -> None:
    document = json.loads((written[0] / "evaluation.json").read_text(encoding="utf-8"))
    assert set(document["metrics"]) == set(OVERALL)
    for name, figure in document["metrics"].items():
        assert set(figure) == {"value", "low", "high"}
        assert figure["low"] <= figure["value"] <= figure["high"], name
    assert document["n"] == 40
    assert (document["fixed_specificity"], document["fixed_sensitivity"]) == (0.9, 0.9)
    assert set(document["per_class"]) == {"cxr-covid", "cxr-normal", "cxr-opacity", "cxr-tuberculosis"}
    for item in document["per_class"].values():
        assert set(item) == set(BY_CLASS)
        assert all(set(item[name]) == {"value", "low", "high"} for name in set(BY_CLASS) - set(COUNTS))
    assert document["confusion"][0][0] == document["per_class"]["cxr-covid"]["recall"]["value"] * 10
    assert document["pr"]["cxr-covid"]["recall"][-1] == 1
    assert document["roc_micro"]["thresholds"][0] is None  # infinite: JSON has no such number
    assert document["gate"]["passed"] is True
    assert document["graph"] == FP32_GRAPH


def test_what_cannot_be_known_is_null(
    quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages]
) -> None:
    data = pictures()
    few = replace(
        data,
        images=data.images[data.labels < 2],
        labels=data.labels[data.labels < 2],
        image_ids=data.image_ids[data.labels < 2],
        groups=data.groups[data.labels < 2],
    )
    document = evaluate(quarters(), few, config=QUICK).to_json()
    for name in set(BY_CLASS) - set(COUNTS):
        assert document["per_class"]["cxr-opacity"][name] == {"value": None, "low": None, "high": None}
    assert document["roc"]["cxr-opacity"] is None
    assert document["pr"]["cxr-opacity"] is None
    assert document["present"] == ["cxr-covid", "cxr-normal"]
    assert document["absent"] == ["cxr-opacity", "cxr-tuberculosis"]
    json.dumps(document, allow_nan=False)


def test_calibration_is_told_before_and_after_the_temperature(
    quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages]
) -> None:
    """A graph that divides by 2.5 says with less confidence what its network says with more."""
    model, data = quarters(temperature=2.5), pictures(120)
    found = evaluate(model, data, config=QUICK)
    served = GraphSession(model.graph_path()).run(data.images).probabilities.astype(np.float64)
    network = served**2.5 / (served**2.5).sum(axis=1, keepdims=True)
    before = found.calibration.before
    assert found.calibration.temperature == 2.5
    assert before["ece"].value == pytest.approx(ece(network, data.labels), abs=1e-6)
    assert before["nll"].value == pytest.approx(log_loss(data.labels, network), abs=1e-4)
    assert found.metrics["nll"].value == pytest.approx(log_loss(data.labels, served / served.sum(1, keepdims=True)))
    assert all(figure.low <= figure.value <= figure.high for figure in before.values())
    sure = [item.confidence for item in found.calibration.reliability_before]
    assert np.mean(sure) == pytest.approx(network.max(axis=1).mean(), abs=1e-6)
    likely = found.to_json()["calibration"]["ece_if_calibrated"]
    assert 0 < likely["low"] < likely["high"] < 1
    assert all(item.likely_low <= item.confidence <= item.likely_high for item in found.reliability)


def test_the_thresholds_of_the_model_are_tried_on_these_images(
    quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages]
) -> None:
    model = quarters(thresholds=Thresholds(0.3, 255.0, sensitivity=0.8, by_class={"cxr-covid": 0.6}))
    data = pictures(120)
    found = evaluate(model, data, config=QUICK)
    called = GraphSession(model.graph_path()).run(data.images).probabilities[:, 0] >= 0.6
    assert found.chosen_sensitivity == 0.8
    assert set(found.thresholds) == {"cxr-covid"}
    reached = found.to_json()["thresholds"]["cxr-covid"]
    assert reached["threshold"] == 0.6
    assert reached["sensitivity"]["value"] == pytest.approx(called[data.labels == 0].mean())
    assert reached["specificity"]["value"] == pytest.approx((~called)[data.labels != 0].mean())
    assert reached["sensitivity"]["low"] < reached["sensitivity"]["value"] < reached["sensitivity"]["high"]


def test_a_model_from_before_there_were_such_thresholds_is_judged_without(
    quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages]
) -> None:
    found = evaluate(quarters(), pictures(), config=QUICK)
    assert found.chosen_sensitivity is None
    assert found.thresholds == {}


def test_predictions_are_the_graphs_own(
    written: tuple[Path, LabelledImages], quarters: Callable[..., ModelFolder]
) -> None:
    folder, data = written
    frame = pd.read_parquet(folder / "predictions.parquet")
    assert list(frame.columns) == ["image_id", "label", "predicted", "confidence", "probabilities"]
    outputs = GraphSession(folder.parent / "model" / FP32_GRAPH).run(data.images)
    np.testing.assert_array_equal(np.stack(frame["probabilities"].tolist()), outputs.probabilities)
    np.testing.assert_array_equal(frame["confidence"], outputs.probabilities.max(axis=1))
    assert list(frame["image_id"]) == list(data.image_ids)
    names = np.array(data.classes)
    assert list(frame["label"]) == list(names[data.labels])
    assert list(frame["predicted"]) == list(names[outputs.probabilities.argmax(axis=1)])


def test_the_report_shows_where_the_network_looked_if_the_model_can_tell(
    quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages], tmp_path: Path
) -> None:
    """Beside each picture a second one, from a graph that takes each bright pixel for what speaks for the class."""
    model = quarters()
    graph = onnx.load(model.graph_path())
    graph.graph.initializer.append(numpy_helper.from_array(np.array([-1, 16, 16]), "square"))
    graph.graph.initializer.append(numpy_helper.from_array(np.array(255, np.float32), "white"))
    graph.graph.node.append(helper.make_node("Div", ["grey", "white"], ["light"]))
    graph.graph.node.append(helper.make_node("Reshape", ["light", "square"], ["saliency"]))
    graph.graph.output.append(helper.make_tensor_value_info("saliency", TensorProto.FLOAT, ["batch", 16, 16]))
    counts = {}
    for name in ("without", "with"):
        evaluate(model, pictures(), output=tmp_path / name, config=replace(QUICK, shown_images=3))
        counts[name] = (tmp_path / name / "report.html").read_text(encoding="utf-8").count("<img ")
        onnx.save(graph, model.root / EXPLAIN_GRAPH)
    assert counts == {"without": 6, "with": 12}


def test_nothing_written_names_a_patient(written: tuple[Path, LabelledImages]) -> None:
    files = sorted(path.name for path in written[0].iterdir())
    assert files == ["MODEL_CARD.md", "evaluation.json", "predictions.parquet", "report.html", "summary.md"]
    for name in ("MODEL_CARD.md", "evaluation.json", "report.html", "summary.md"):
        assert "secret" not in (written[0] / name).read_text(encoding="utf-8")
    assert "secret" not in pd.read_parquet(written[0] / "predictions.parquet").to_json()


def test_labels_go_by_name_not_by_position(
    quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages]
) -> None:
    """A dataset may list its classes in another order than the model."""
    model = quarters()
    same = evaluate(model, pictures(), config=QUICK)
    turned = evaluate(
        model, pictures(classes=("cxr-tuberculosis", "cxr-opacity", "cxr-normal", "cxr-covid")), config=QUICK
    )
    assert turned.confusion == same.confusion
    assert turned.metrics["accuracy"] == same.metrics["accuracy"]


def test_images_of_a_class_that_the_model_lacks_are_in_no_figure_and_told_apart(
    quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages], tmp_path: Path
) -> None:
    model, data = quarters(classes=("cxr-covid", "cxr-normal", "cxr-opacity", "bone-fracture")), pictures()
    found = evaluate(model, data, output=tmp_path / "evaluation", config=QUICK)
    lacking = data.labels == data.classes.index("cxr-tuberculosis")
    assert found.n == (~lacking).sum()
    assert found.absent == ("bone-fracture",)
    (apart,) = found.apart
    assert (apart.name, apart.n, apart.reason) == ("cxr-tuberculosis", lacking.sum(), "the model has no such class")
    said = GraphSession(model.graph_path()).run(data.images[lacking]).probabilities
    assert apart.called == dict(Counter(np.array(found.classes)[said.argmax(axis=1)]).most_common())
    assert apart.confidence.value == pytest.approx(said.max(axis=1).mean())
    assert len(pd.read_parquet(tmp_path / "evaluation" / "predictions.parquet")) == found.n
    for name in ("report.html", "summary.md"):
        assert "the model has no such class" in (tmp_path / "evaluation" / name).read_text(encoding="utf-8")


def test_classes_are_named_as_the_file_says(
    quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages]
) -> None:
    model, data = quarters(), pictures()
    same = evaluate(model, data, config=QUICK)
    other = replace(data, classes=("COVID", "NORMAL", "cxr-opacity", "TB"))
    names = ExternalClassesConfig({"COVID": "cxr-covid", "NORMAL": "cxr-normal", "TB": "cxr-tuberculosis"})
    found = evaluate(model, other, config=QUICK, classes=names)
    assert found.metrics == same.metrics
    assert found.class_names == names.map
    assert not found.apart


def test_images_made_another_way_are_refused(
    quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages]
) -> None:
    with pytest.raises(InputError, match="Preprocess the images with the model's settings"):
        evaluate(quarters(), replace(pictures(), preprocessing=Preprocessing(size=32)), config=QUICK)


def test_no_images_are_refused(quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages]) -> None:
    data = pictures()
    with pytest.raises(InputError, match="nothing to evaluate"):
        evaluate(quarters(), replace(data, images=data.images[:0], labels=data.labels[:0]), config=QUICK)


def test_a_gate_that_refuses_is_an_answer(
    quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages], tmp_path: Path
) -> None:
    found = evaluate(
        quarters(), pictures(), output=tmp_path / "evaluation", config=QUICK, policy=GateConfig(accuracy_above=0.8)
    )
    assert not found.gate.passed
    assert found.gate.reasons[0] == "accuracy 0.8000 is not above 0.8"
    assert json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())["gate"]["passed"] is False


def test_a_split_of_a_dataset_version_can_be_judged(
    quarters: Callable[..., ModelFolder], films: Callable[..., Path], tmp_path: Path
) -> None:
    ingest(IngestConfig(source=str(films(cxr_normal=20, cxr_covid=20))), tmp_path / "ingested")
    write_dataset_version(tmp_path / "ingested", tmp_path / "dataset", PreprocessConfig(image_size=16))
    dataset = DatasetVersion.open(tmp_path / "dataset")
    found = evaluate(quarters(), LabelledImages.from_version(dataset, "val"), config=QUICK)
    assert found.dataset == dataset.name
    assert found.n == sum(dataset.counts["val"].values())
    assert found.absent == ("cxr-opacity", "cxr-tuberculosis")


def test_a_version_that_the_model_was_not_trained_on_is_said(
    quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages], caplog: pytest.LogCaptureFixture
) -> None:
    """Its test split may hold images that the model has learned."""
    model = quarters()
    assert evaluate(model, replace(pictures(), version=model.config.dataset_version), config=QUICK).own_version
    assert "may have seen" not in caplog.text
    assert not evaluate(model, pictures(), config=QUICK).own_version
    assert not evaluate(model, replace(pictures(), version="e" * 64), config=QUICK).own_version
    assert "0123456789ab is not the dataset version that the model was trained on (dddddddddddd)" in caplog.text


def test_a_folder_of_something_else_is_refused_before_the_work(
    quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages], tmp_path: Path
) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter-1.txt").touch()
    with pytest.raises(InputError, match="thesis holds other files"):
        evaluate(quarters(), pictures(), output=tmp_path / "thesis", config=QUICK)
