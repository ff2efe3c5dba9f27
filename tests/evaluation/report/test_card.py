"""The model card: the headings of Mitchell et al. 2019, filled from what was found, limits included."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from secondread.config.evaluate import EvaluateConfig
from secondread.config.gate import GateConfig
from secondread.evaluation.evaluate import evaluate
from secondread.evaluation.external.apart import ClassApart
from secondread.evaluation.external.drop_results import Difference, Drop
from secondread.evaluation.intervals.estimate import UNKNOWN, Estimate
from secondread.evaluation.labelled_images import LabelledImages
from secondread.evaluation.report.card import model_card
from secondread.evaluation.results import Evaluation
from secondread.evaluation.stress.behaviour_results import Behaviour, BehaviourResult
from secondread.evaluation.stress.known_failures import CaseResult, KnownFailures
from secondread.evaluation.stress.not_my_field import Flagged, NotMyField
from secondread.evaluation.stress.robustness import FIGURES, Change, Robustness
from secondread.evaluation.subgroups.results import Factor, Gap, Group, Subgroups
from secondread.model.folder import ModelFolder, Thresholds
from secondread.model.training_record import (
    GivenAway,
    SetAudit,
    SetFinding,
    SourceCount,
    StartedFrom,
    TrainingRecord,
)

HEADINGS = [
    "Model details",
    "Intended use",
    "Factors",
    "Metrics",
    "Evaluation data",
    "Training data",
    "Quantitative analyses",
    "Ethical considerations",
    "Caveats and recommendations",
]
QUICK = EvaluateConfig(resamples=100, shown_images=0, stress_images=0, strange_images=0, timed_runs=0)
TRAINING = TrainingRecord(
    dataset_version="d" * 64,
    counts={"train": {"cxr-covid": 70, "cxr-normal": 80}, "val": {"cxr-normal": 9}},
    sources=(SourceCount("hospital-a", "CC BY 4.0", 150), SourceCount("<b>|x", "", 9)),
    preset="vit-64",
    epochs=12,
    best_epoch=9,
    seconds=61.0,
    processes=2,
    seed=3,
    start=StartedFrom("e" * 64, labelled=True, may_have_seen=True),
    audit=SetAudit(
        (
            GivenAway("source", "cxr", "serious", 0.91, 0.88, 0.94, 0.5, 150, "the source alone tells the label"),
            GivenAway("age", "cxr", "none", 0.52, 0.45, 0.6, 0.5, 150, "the age alone tells next to nothing"),
        ),
        (SetFinding("near_duplicates", "Near duplicates", "worth a look", "2 images form 1 cluster."),),
        ("left out of the shortcuts, with fewer than 10 groups: cxr-rare.",),
    ),
)


def gap(figure: str, value: float, half: float, verdict: str, *classes: str) -> Gap:
    return Gap(figure, classes, 0.8 + value, 0.8, value, value - half, value + half, verdict)


def group(name: str, *gaps: Gap, images: int = 40) -> Group:
    return Group(name, images, images // 2, 0.8, {}, {}, gaps)


SUBGROUPS = Subgroups(
    n=160,
    patients=80,
    level=0.95,
    looks=4,
    width=2.8,
    factors=(
        Factor(
            "sex",
            (
                group("F", gap("same_mix", -0.12, 0.05, "worse"), gap("sensitivity", 0.01, 0.2, "no gap shown", "a")),
                group("M", gap("same_mix", 0.12, 0.05, "better")),
                group("not known", images=7),
            ),
            None,
        ),
        Factor("age_band", (group("65+", gap("same_mix", 0.0, 0.0, "too small to tell")),), None),
    ),
)


def changes(*differences: float) -> tuple[dict[str, Change], ...]:
    """Five strengths; every interval is a point either side."""
    return tuple({name: Change(0.9 + each, each, each - 0.01, each + 0.01) for name in FIGURES} for each in differences)


ROBUSTNESS = Robustness(
    n=200,
    patients=150,
    level=0.95,
    clean=dict.fromkeys(FIGURES, 0.9),
    corruptions={
        "blur": changes(0, -0.03, 0, -0.05, -0.2),
        "jpeg": changes(0, 0, 0, 0, 0),
        "noise": changes(-0.02, -0.1, -0.2, -0.3, -0.4),
    },
)
STRANGE = NotMyField(
    threshold=1.0,
    level=0.95,
    own=Flagged(100, 5, 0.05, 0.016, 0.113),
    kinds={
        "upside down": Flagged(50, 10, 0.2, 0.1, 0.337, taught=True),
        "noise": Flagged(8, 7, 0.875, 0.473, 0.997),
        "handwritten digits": Flagged(100, 100, 1.0, 0.964, 1.0),
    },
    together=Flagged(158, 117, 0.741, 0.665, 0.807),
)


def result(name: str, verdict: str) -> BehaviourResult:
    return BehaviourResult(name, "invariance", f"Asks {name}.", 20, 9, 0.45, 0.2, 0.7, 0.05, verdict, "9 fail", ())


BEHAVIOUR = Behaviour(0.95, (result("border", "fail"), result("marker", "not asked"), result("png", "pass")))


@pytest.fixture
def judged(
    quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages]
) -> tuple[ModelFolder, Evaluation]:
    """A model and an evaluation of it, whose evidence is known by hand."""
    model = quarters()
    policy = GateConfig(accuracy_above=0.9, images_at_least=10)
    found = evaluate(model, pictures(80, wrong_every=5), config=QUICK, policy=policy)
    assert found.evidence is not None
    parts = {"subgroups": SUBGROUPS, "robustness": ROBUSTNESS, "behaviour": BEHAVIOUR, "not_my_field": STRANGE}
    return model, replace(found, evidence=replace(found.evidence, **parts))


@pytest.fixture
def card(judged: tuple[ModelFolder, Evaluation]) -> str:
    model, evaluation = judged
    return model_card(model.config, TRAINING, evaluation=evaluation)


def headings(text: str) -> list[str]:
    return re.findall(r"^## (.*)$", text, re.MULTILINE)


def section(text: str, title: str) -> str:
    """What stands below a heading of the second or third level, to the next of its own."""
    found = re.search(rf"^(##+) {re.escape(title)}.*?\n(.*?)(?=^\1 |^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found[2]


def rows(text: str) -> list[list[str]]:
    """Cells of its tables, but for the lines below their heads."""
    lines = [line for line in text.splitlines() if line.startswith("|") and not re.match(r"^[|\-: ]+$", line)]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_a_threshold_of_a_class_is_said_to_hold_on_average_and_on_what_chose_the_model(
    quarters: Callable[..., ModelFolder],
) -> None:
    model = quarters(thresholds=Thresholds(0.3, 255.0, sensitivity=0.9, by_class={"cxr-covid": 0.625}))
    card = " ".join(model_card(model.config, None, {"images": 90}).split())
    assert "at least 90 % of the patients that have it are found, on average, of patients like those of val" in card
    assert "Val also chose the epoch, the scaling and the served graph, which flatters that" in card


def test_the_headings_are_those_of_the_paper_in_its_order(card: str, judged: tuple[ModelFolder, Evaluation]) -> None:
    assert headings(card) == HEADINGS
    assert headings(model_card(judged[0].config, TRAINING, {"accuracy": 0.9, "images": 7})) == HEADINGS
    assert headings(model_card(judged[0].config, None, evaluation=replace(judged[1], evidence=None))) == HEADINGS


def test_every_row_of_a_table_has_the_cells_that_its_head_has(card: str) -> None:
    for block in re.findall(r"(?:^\|.*\n)+", card, re.MULTILINE):
        assert len({len(cells) for cells in rows(block)}) == 1, block
        assert len(rows(block)) > 1, block


def test_every_figure_stands_with_its_interval_and_by_class(card: str, judged: tuple[ModelFolder, Evaluation]) -> None:
    found = judged[1]
    accuracy = found.metrics["accuracy"]
    analyses = rows(section(card, "Quantitative analyses"))
    assert ["Accuracy", f"{accuracy.value:.3f}", f"{accuracy.low:.3f} to {accuracy.high:.3f}"] in analyses
    recall = found.per_class["cxr-covid"]["recall"]
    (covid,) = [cells for cells in analyses if cells[0] == "cxr-covid"]
    assert covid[1] == str(found.per_class["cxr-covid"].support)
    assert covid[3] == f"{recall.value:.3f} ({recall.low:.3f} to {recall.high:.3f})"


def test_calibration_is_told_beside_what_chance_does(card: str, judged: tuple[ModelFolder, Evaluation]) -> None:
    found, chance = judged[1], judged[1].calibration.ece_if_calibrated
    told = section(card, "Can its confidence be believed?")
    assert f"A calibration error of {found.metrics['ece'].value:.3f}" in told
    assert f"{chance.low:.3f} to {chance.high:.3f}" in told
    assert ("chance does not explain it" in told) is not found.calibration_within_chance


def test_each_gap_that_is_more_than_chance_is_told_with_its_interval(card: str) -> None:
    _, worse, better = rows(section(card, "For whom it is worse"))
    assert worse == ["sex F", "20", "accuracy at the same class mix", "-12.0", "-17.0 to -7.0", "worse"]
    assert better[0] == "sex M"
    assert better[-1] == "better"
    assert "Patients of sex F are read worse" in section(card, "Ethical considerations")
    assert "sex M" not in section(card, "Ethical considerations")


def test_groups_that_are_too_small_to_tell_are_named_and_the_unknown_counted(card: str) -> None:
    _, sex, age = rows(section(card, "Factors"))
    assert sex == ["sex", "F, M", "none", "7"]
    assert age == ["age band", "none", "65+", "0"]


def test_where_nothing_is_known_of_the_patients_the_card_says_so(judged: tuple[ModelFolder, Evaluation]) -> None:
    model, found = judged
    assert found.evidence is not None
    unknown = replace(found, evidence=replace(found.evidence, subgroups=None))
    told = section(model_card(model.config, TRAINING, evaluation=unknown), "For whom it is worse")
    assert "Nothing is known of the patients here" in told
    alone = replace(SUBGROUPS, factors=SUBGROUPS.factors[1:])
    small = replace(found, evidence=replace(found.evidence, subgroups=alone))
    told = section(model_card(model.config, TRAINING, evaluation=small), "For whom it is worse")
    assert "No two groups are known and large enough" in told
    fair = replace(SUBGROUPS, factors=(Factor("sex", (group("F", gap("same_mix", 0, 0.1, "no gap shown")),), None),))
    even = replace(found, evidence=replace(found.evidence, subgroups=fair))
    told = section(model_card(model.config, TRAINING, evaluation=even), "For whom it is worse")
    assert "That is no proof" in told


def test_the_strength_from_which_on_a_corruption_costs_is_told(card: str) -> None:
    """Blur costs at 2, not at 3, and from 4 on: the one at 2 is what many looks give by chance."""
    _, *told = rows(section(card, "What breaks it"))
    assert [(cells[0], cells[1]) for cells in told] == [
        ("Noise", "strength 1"),
        ("Blur", "strength 4"),
        ("JPEG", "not shown to cost"),
    ]
    assert told[1][2:] == ["5.0", "4.0 to 6.0", "20.0"]
    assert "Noise costs accuracy from strength 1 on" in section(card, "Caveats and recommendations")


def test_behaviour_tests_that_fail_are_told_and_others_are_not(card: str) -> None:
    told = section(card, "How it behaves")
    assert "**Fail:** Asks border. 9 fail." in told
    assert "marker" not in told
    assert "Asks png" not in told


def test_kinds_that_it_surely_cannot_see_are_named_with_their_number(card: str) -> None:
    """Of noise 7 of 8 were turned away: that is too few images to say that it cannot see it."""
    told = section(card, "What is none of its field")
    assert "**It cannot see this kind: upside down.** Of 50 images, 20.0 % were turned away (10.0 % to 33.7 %)" in told
    assert "this kind: noise" not in told
    assert ["noise", "8", "87.5 %", "47.3 % to 99.7 %"] in rows(told)
    assert rows(told)[1][:2] == ["this set", "100"]
    assert "a label without a warning: upside down." in section(card, "Caveats and recommendations")


def test_images_of_the_models_own_version_that_are_turned_away_are_false_alarms(
    judged: tuple[ModelFolder, Evaluation],
) -> None:
    model, found = judged
    own = section(model_card(model.config, TRAINING, evaluation=replace(found, own_version=True)), "What is none")
    assert rows(own)[1][:2] == ["its own (false alarms)", "100"]


def test_known_failures_are_told_with_their_sentences(judged: tuple[ModelFolder, Evaluation]) -> None:
    model, evaluation = judged
    assert evaluation.evidence is not None
    cases = (
        CaseResult("frame", "A white frame was called covid.", "cxr-normal", "2026-01-02", "a", 0.1, "still fails", ""),
        CaseResult(
            "marker", "A marker hid a nodule.", "cxr-covid", "2026-02-03", "", 0.0, "could not be run", "no film"
        ),
    )
    evidence = replace(evaluation.evidence, known_failures=KnownFailures(cases))
    card = model_card(model.config, TRAINING, evaluation=replace(evaluation, evidence=evidence))
    told = section(card, "Known failures").splitlines()
    assert "- **Still fails:** A white frame was called covid." in told
    assert "- **Could not be run:** A marker hid a nodule. No film." in told
    assert "### Known failures" not in model_card(model.config, TRAINING, evaluation=evaluation)


def test_a_set_from_elsewhere_is_told_with_its_drop_and_what_stands_apart(
    judged: tuple[ModelFolder, Evaluation],
) -> None:
    model, evaluation = judged
    difference = Difference(Estimate(0.7, 0.6, 0.8), Estimate(0.9, 0.85, 0.95), Estimate(-0.2, -0.31, -0.09))
    drop = Drop("abc123", "test", ("cxr-covid",), 40, 80, (), {}, 3, {"accuracy": difference})
    apart = ClassApart("hernia", "not a class of the model", 9, 7, {"cxr-covid": 9}, Estimate(0.8, 0.7, 0.9), UNKNOWN)
    card = model_card(model.config, TRAINING, evaluation=replace(evaluation, drop=drop, apart=(apart,)))
    told = section(card, "On a set from elsewhere")
    assert rows(told)[1] == ["Accuracy", "0.700", "0.900", "-0.200", "-0.310 to -0.090"]
    assert "3 images are in both sets" in told
    assert "it would turn away 5.0 % (1.6 % to 11.3 %) as none of its field" in told
    assert rows(section(card, "Images whose class it lacks"))[1] == ["hernia", "9", "-", "-", "0.800"]


def test_every_line_of_the_gate_has_its_verdict(card: str) -> None:
    assert rows(section(card, "The gate: refused"))[1:] == [
        ["`accuracy_above`", "**failed**", "accuracy 0.8000 is not above 0.9"],
        ["`images_at_least`", "passed", "80 images, at least 10 asked"],
    ]
    assert "**The gate refused this model**, for accuracy_above" in section(card, "Caveats and recommendations")


def test_what_gives_the_label_away_is_told_and_warned_of(card: str) -> None:
    told = section(card, "What gives the label away")
    assert ["source (cxr)", "serious", "0.910 (0.880 to 0.940)", "0.500", "150"] in rows(told)
    assert "**Serious.** The source alone tells the label." in told
    assert "Near duplicates (worth a look): 2 images form 1 cluster." in told
    assert "Not measured: Left out of the shortcuts, with fewer than 10 groups: cxr-rare." in told
    caveats = section(card, "Caveats and recommendations")
    assert "The source alone tells the label. It may have learned that instead" in caveats
    assert "age alone" not in told + caveats


def test_a_training_set_that_gives_nothing_away_or_was_not_looked_at_is_said_to_be_so(
    judged: tuple[ModelFolder, Evaluation],
) -> None:
    def told(training: TrainingRecord | None) -> str:
        return section(model_card(judged[0].config, training, evaluation=judged[1]), "Training data")

    assert TRAINING.audit is not None
    fair = replace(TRAINING, audit=SetAudit(TRAINING.audit.shortcuts[1:]))
    assert "None of these tells the label." in told(fair)
    assert "Not asked" in told(replace(TRAINING, audit=None))
    assert "Not recorded in the model's folder" in told(None)


def test_counts_sources_licences_and_the_start_are_told(card: str) -> None:
    told = section(card, "Training data")
    assert ["Title of cxr-covid (`cxr-covid`)", "not known", "70", "0"] in rows(told)
    assert ["hospital-a", "CC BY 4.0", "150"] in rows(told)
    details = section(card, "Model details")
    assert "12 epochs in 61 s, 2 process(es), seed 3" in details
    assert "neither this model's version nor its parent" in details


def test_text_of_a_manifest_cannot_break_out_of_a_table_or_become_markup(card: str) -> None:
    assert ["&lt;b>\\|x", "not stated", "9"] in rows(card)
    assert "<b>" not in card


def test_figures_of_val_are_said_to_flatter(judged: tuple[ModelFolder, Evaluation]) -> None:
    text = model_card(judged[0].config, TRAINING, {"accuracy": 0.87654, "images": 12, "auroc_macro": None})
    told = rows(section(text, "Quantitative analyses"))
    assert told[1:] == [["accuracy", "0.8765"], ["images", "12"], ["auroc_macro", "cannot be told"]]
    assert "They flatter the model" in text
    assert "they flatter the model" in section(text, "Caveats and recommendations")
    early = model_card(judged[0].config, TRAINING, evaluation=replace(judged[1], split="val"))
    assert "figures on it flatter the model" in section(early, "Evaluation data")


def test_generated_images_are_said_to_be_so_first(judged: tuple[ModelFolder, Evaluation]) -> None:
    model, found = judged
    learned = model_card(replace(model.config, synthetic=True), TRAINING, evaluation=replace(found, synthetic=True))
    assert "**Trained on synthetic images" in learned.splitlines()[2]
    shown = model_card(model.config, TRAINING, evaluation=replace(found, synthetic=True))
    assert "**Evaluated on synthetic images" in shown.splitlines()[2]
    assert "synthetic" not in model_card(model.config, TRAINING, evaluation=found).lower()


def test_an_evaluation_writes_the_card_with_what_the_model_folder_knows(
    quarters: Callable[..., ModelFolder], pictures: Callable[..., LabelledImages], tmp_path: Path
) -> None:
    model = quarters()
    digest = model.digest()
    TRAINING.write(model.root)
    found = evaluate(model, pictures(), output=tmp_path / "evaluation", config=QUICK)
    written = (tmp_path / "evaluation" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert written == model_card(model.config, TRAINING, evaluation=found)
    assert "secret" not in written
    assert model.digest() == digest
