"""Beyond the figures: what is asked is in the record, and what is not asked or cannot be is null."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from secondread.config.evaluate import EvaluateConfig
from secondread.config.gate import GateConfig
from secondread.config.mapping import from_mapping
from secondread.errors import InputError
from secondread.evaluation.evaluate import evaluate
from secondread.evaluation.evidence import Evidence
from secondread.evaluation.labelled_images import LabelledImages
from secondread.model.folder import REFERENCE_FILE, ModelFolder, Thresholds

EVERYTHING = EvaluateConfig(resamples=100, stress_images=40, strange_images=3, timed_runs=5)
NOTHING = EvaluateConfig(resamples=100, stress_images=0, strange_images=0, timed_runs=0)


@pytest.fixture
def gathered(quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages]) -> Evidence:
    data = pictures(200)
    sexes = np.where(np.arange(200) // 2 % 2 == 0, "F", "M").astype(object)
    found = evaluate(quarters(), replace(data, factors={"sex": sexes}), config=EVERYTHING).evidence
    assert found is not None
    return found


def with_reference(model: ModelFolder, *, patients: bool = True, images: int = 400, first: int = 1_000) -> ModelFolder:
    """The model's answers on 400 images of val, one in ten of which it reads wrong; ids from `first` on."""
    names = model.config.taxonomy.names
    truth = np.arange(images) % 4
    said = np.where(np.arange(images) % 10 == 0, (truth + 1) % 4, truth)
    probabilities = np.where(np.arange(4) == said[:, None], 0.7, 0.1)
    rows = {
        "image_id": [f"{first + index:064x}" for index in range(images)],
        "label": np.array(names, dtype=object)[truth],
        "probabilities": list(probabilities),
        "patient": np.arange(images),
    }
    pd.DataFrame({name: rows[name] for name in rows if patients or name != "patient"}).to_parquet(
        model.root / REFERENCE_FILE
    )
    return model


def test_everything_that_is_asked_is_there(gathered: Evidence) -> None:
    assert gathered.subgroups is not None
    assert [factor.name for factor in gathered.subgroups.factors] == ["sex"]
    assert gathered.robustness is not None
    assert (gathered.robustness.n, len(gathered.robustness.corruptions)) == (40, 10)
    assert gathered.behaviour is not None
    assert "a-little-brighter" in [result.name for result in gathered.behaviour.results]
    assert gathered.not_my_field is not None
    assert (gathered.not_my_field.own.n, gathered.not_my_field.kinds["noise"].n) == (200, 3)
    assert gathered.latency is not None
    assert 0 < gathered.latency.median_ms <= gathered.latency.p99_ms
    assert gathered.selective.n == gathered.second_reader.n == 200


def test_the_document_has_every_part_by_name_and_nothing_that_json_has_not(gathered: Evidence) -> None:
    document = gathered.to_json()
    assert set(document) == set(Evidence.__dataclass_fields__)
    assert document["risk_dial"] is None
    assert document["latency"]["runs"] == 5
    assert "nan" not in repr(document).lower().replace("'nan", "")


def test_what_is_not_asked_is_null(
    quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages]
) -> None:
    found = evaluate(quarters(), pictures(), config=NOTHING).evidence
    assert found is not None
    document = found.to_json()
    assert [name for name, part in document.items() if part is None] == [
        "subgroups",
        "robustness",
        "behaviour",
        "not_my_field",
        "risk_dial",
        "known_failures",
        "champion",
        "latency",
    ]


def test_known_failures_are_tried_by_the_graph_where_they_are_named(
    quarters: Callable[..., ModelFolder], tmp_path: Path, pictures: Callable[..., LabelledImages]
) -> None:
    """The model calls what is brightest in its first quarter cxr-covid."""
    bright = np.zeros((64, 64), np.uint8)
    bright[:32, :32] = 200
    for label in ("cxr-covid", "cxr-normal"):
        folder = tmp_path / "known" / label
        folder.mkdir(parents=True)
        Image.fromarray(bright).save(folder / "image.png")
        (folder / "case.yaml").write_text(f"sentence: It was called opacity.\nlabel: {label}\nsince: 2026-11-22\n")
    asked = replace(NOTHING, known_failures=str(tmp_path / "known"))
    policy = GateConfig(known_failures_mended_at_least=1.0)
    judged = evaluate(quarters(), pictures(), config=asked, policy=policy, output=tmp_path / "evaluation")
    assert judged.evidence is not None
    assert judged.evidence.known_failures is not None
    assert [case.verdict for case in judged.evidence.known_failures.cases] == ["mended", "still fails"]
    assert "1 of 2 known failures are mended, at least 1 asked; cxr-normal still fails" in judged.gate.reasons
    page = (tmp_path / "evaluation" / "report.html").read_text(encoding="utf-8")
    assert "Known failures: 1 still fail, 1 mended" in page
    assert page.count('alt="Known failure cxr-') == 2
    document = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text(encoding="utf-8"))
    assert document["evidence"]["known_failures"]["counts"]["mended"] == 1


def test_a_folder_of_known_failures_that_is_not_there_is_refused_before_the_work(
    quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages], tmp_path: Path
) -> None:
    asked = replace(NOTHING, known_failures=str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="is no folder"):
        evaluate(quarters(), pictures(), config=asked)


def test_without_evidence_there_is_none(
    quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages]
) -> None:
    found = evaluate(quarters(), pictures(), config=NOTHING, evidence=False)
    assert found.evidence is None
    assert found.to_json()["evidence"] is None


def test_the_dial_is_calibrated_on_the_models_own_val(
    quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages]
) -> None:
    model = with_reference(quarters())
    found = evaluate(model, pictures(), config=NOTHING).evidence
    assert found is not None
    assert found.risk_dial is not None
    assert found.risk_dial.calibrated_on == 400
    assert found.second_reader.confidence_at_least == found.risk_dial.chosen.threshold


@pytest.mark.parametrize("shared", [40, 1])
def test_images_are_not_judged_by_a_dial_that_was_calibrated_on_some_of_them(
    quarters: Callable[..., ModelFolder],
    pictures: Callable[..., LabelledImages],
    caplog: pytest.LogCaptureFixture,
    shared: int,
) -> None:
    """As where a model is evaluated on the folder that its dataset version was made from: no version says so."""
    model = with_reference(quarters(), first=40 - shared)
    found = evaluate(model, pictures(), config=NOTHING).evidence
    assert found is not None
    assert found.risk_dial is None
    assert f"{shared} of these images are val of the model's own dataset version" in caplog.text


def verdicts(found: Evidence) -> set[str]:
    assert found.subgroups is not None
    return {gap.verdict for factor in found.subgroups.factors for group in factor.groups for gap in group.gaps}


def test_what_the_model_is_held_against_is_what_was_asked_for(
    quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages]
) -> None:
    """The user names the share of wrong closures, the first reader, the room, and what group is large enough."""
    asked = {
        "subgroups": {"min_patients": 10},
        "selective": {"risk": 0.2},
        "risk_dial": {"accepted": 0.04},
        "first_reader": {"sensitivity": 0.8, "specificity": 0.9},
        "second_reader": {"prevalence": 0.25},
        "workload": {"physicians": 3},
    }
    data = replace(pictures(48), factors={"sex": np.repeat(np.array(["F", "M"], dtype=object), 24)})
    off = {"stress_images": 0, "strange_images": 0, "timed_runs": 0}
    model = with_reference(quarters())
    found = evaluate(model, data, config=from_mapping(EvaluateConfig, {"resamples": 100, **off, **asked})).evidence
    plain = evaluate(model, data, config=NOTHING).evidence
    assert found is not None
    assert plain is not None
    assert found.risk_dial is not None
    assert found.risk_dial.chosen.accepted == 0.04
    assert "at most 4.00%" in found.risk_dial.promise
    assert (found.second_reader.reader.sensitivity, found.second_reader.prevalence) == (0.8, 0.25)
    assert (found.selective.abstention.risk, found.workload.room.physicians) == (0.2, 3)
    assert verdicts(plain) == {"too small to tell"}
    assert verdicts(found) > verdicts(plain)


def test_behaviour_tests_are_those_of_the_file_that_is_named_and_the_champion_says_what_is_easy(
    quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages], tmp_path: Path
) -> None:
    (tmp_path / "behaviour.yaml").write_text(
        "minimum:\n  - {name: sure-of, asks: It is right about these., cases: confident, confidence: 0.5}\n"
    )
    asked = replace(NOTHING, stress_images=200, behaviour=str(tmp_path / "behaviour.yaml"))
    model, data = quarters(), pictures(200)
    found = evaluate(model, data, config=asked, champion=model).evidence
    assert found is not None
    assert found.behaviour is not None
    assert [(each.name, each.verdict) for each in found.behaviour.results] == [("sure-of", "pass")]
    alone = evaluate(model, data, config=asked).evidence
    assert alone is not None
    assert alone.behaviour is not None
    assert "no reference model" in alone.behaviour.results[0].reason


@pytest.mark.parametrize(
    ("line", "limits"),
    [
        ("latency_p99_ms_below", (1e-6, 1e6)),
        ("other_fields_above", (0.99, 0.0)),
        ("false_alarms_below", (0.0, 1.0)),
    ],
)
def test_a_line_of_the_gate_is_answered_by_what_was_gathered_of_this_model(
    quarters: Callable[..., ModelFolder],
    pictures: Callable[..., LabelledImages],
    line: str,
    limits: tuple[float, float],
) -> None:
    """One limit that this model misses, and one that it keeps."""
    asked = EvaluateConfig(resamples=100, stress_images=0, strange_images=5, timed_runs=5)
    # about half of its own images, and of others, have a quarter that is brighter
    model = quarters(thresholds=Thresholds(abstain=0.3, out_of_distribution=150.0))
    policies = [GateConfig(accuracy_above=None, **{line: limit}) for limit in limits]
    verdicts = [evaluate(model, pictures(), config=asked, policy=policy).gate for policy in policies]
    assert [(each.passed, each.tripped) for each in verdicts] == [(False, (line,)), (True, ())], verdicts


@pytest.mark.parametrize("worse_for_men", [True, False])
def test_a_group_that_is_read_worse_is_a_line_of_the_gate(
    quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages], worse_for_men: bool
) -> None:
    data, places = pictures(400), np.arange(400)
    men = (places % 5 == 0) | (places % 2 == 1) if worse_for_men else places // 20 % 2 == 0
    data = replace(data, factors={"sex": np.where(men, "M", "F").astype(object)}, groups=data.image_ids)
    policy = GateConfig(accuracy_above=None, subgroup_gap_points_below=5.0)
    gate = evaluate(quarters(), data, config=NOTHING, policy=policy).gate
    assert gate.tripped == (("subgroup_gap_points_below",) if worse_for_men else ())
    assert ("sex M is read worse" in gate.reasons[0]) is worse_for_men


def test_behaviour_that_fails_is_a_line_of_the_gate(
    quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages], tmp_path: Path
) -> None:
    """The model goes by the grey of the quarters: a lit one changes its answer, and a brighter film does not."""
    asked = {
        "brighter": "{kind: brightness, by: 0.02}",
        "lit": "{kind: opacity, x: 0.25, y: 0.25, radius: 0.3, by: 0.9}",
    }
    model, tripped = quarters(), {}
    for name, change in asked.items():
        path = tmp_path / f"{name}.yaml"
        path.write_text(f"invariance:\n  - {{name: {name}, asks: It is no finding., change: {change}}}\n")
        config = replace(NOTHING, stress_images=200, behaviour=str(path))
        policy = GateConfig(accuracy_above=None, behaviour_tests=True)
        tripped[name] = evaluate(model, pictures(200), config=config, policy=policy).gate.tripped
    assert tripped == {"brighter": (), "lit": ("behaviour_tests",)}


def test_a_model_is_held_against_the_champion_on_the_same_images(
    quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages]
) -> None:
    model, data = quarters(), pictures(400)
    policy = GateConfig(accuracy_above=None, accuracy_margin_points=3.0, auroc_margin_points=4.0)
    alone = evaluate(model, data, config=NOTHING, policy=policy)
    assert alone.gate.tripped == ("accuracy_margin_points", "auroc_margin_points")
    assert "no champion was named" in alone.gate.reasons[0]
    found = evaluate(model, data, config=NOTHING, policy=policy, champion=model)
    assert found.evidence is not None
    assert found.evidence.champion is not None
    assert found.evidence.champion.digest == model.digest()
    assert found.evidence.champion.differences["accuracy"].champion == found.metrics["accuracy"].value
    assert found.gate.passed


def test_a_reference_of_before_that_knows_no_patients_gives_no_dial(
    quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages], caplog: pytest.LogCaptureFixture
) -> None:
    found = evaluate(with_reference(quarters(), patients=False), pictures(), config=NOTHING).evidence
    assert found is not None
    assert found.risk_dial is None
    assert "no risk dial" in caplog.text
