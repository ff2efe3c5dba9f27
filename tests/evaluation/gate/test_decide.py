"""The gate decides from figures alone, excludes its limits, and takes missing figures for a no."""

import math
from dataclasses import fields
from pathlib import Path

import pytest

from secondread.config.gate import GateConfig
from secondread.errors import InputError
from secondread.evaluation.gate.decide import Findings, decide, read_policy

EXAMPLE = Path(__file__).parents[3] / "docs" / "gate.yaml"


def found(images: int = 100, **values: float) -> Findings:
    return Findings(images=images, metrics=values)


@pytest.mark.parametrize(("accuracy", "passes"), [(0.70, False), (0.7000001, True), (0.69, False), (1.0, True)])
def test_the_default_asks_for_more_than_70_percent(accuracy: float, passes: bool) -> None:
    assert decide(GateConfig(), found(accuracy=accuracy)).passed is passes


def test_a_limit_from_above_excludes_itself_too() -> None:
    policy = GateConfig(ece_below=0.1)
    assert not decide(policy, found(accuracy=0.9, ece=0.1)).passed
    assert decide(policy, found(accuracy=0.9, ece=0.0999)).passed


def test_the_number_of_images_includes_its_limit() -> None:
    policy = GateConfig(images_at_least=50)
    assert decide(policy, found(50, accuracy=0.9)).passed
    assert not decide(policy, found(49, accuracy=0.9)).passed


def test_a_figure_that_is_not_known_refuses() -> None:
    answer = decide(GateConfig(auroc_macro_above=0.5), found(accuracy=0.9, auroc_macro=math.nan))
    assert not answer.passed
    assert "auroc_macro is not known" in answer.reasons[0]


def test_a_figure_that_is_missing_refuses() -> None:
    assert not decide(GateConfig(), found()).passed


def test_reasons_name_every_condition_and_the_failed_ones_first() -> None:
    policy = GateConfig(accuracy_above=0.5, auroc_macro_above=0.9, balanced_accuracy_above=0.8)
    answer = decide(policy, found(accuracy=0.6, auroc_macro=0.95, balanced_accuracy=0.7))
    assert not answer.passed
    assert answer.reasons[0] == "balanced_accuracy 0.7000 is not above 0.8"
    assert "accuracy 0.6000 is above 0.5" in answer.reasons
    assert len(answer.reasons) == 4
    assert str(answer).startswith("gate refused: balanced_accuracy")


def test_a_condition_that_is_not_asked_for_cannot_fail() -> None:
    assert decide(GateConfig(accuracy_above=None), found(1, accuracy=0.0)).passed


def test_a_policy_is_read_from_yaml(tmp_path: Path) -> None:
    path = tmp_path / "gate.yaml"
    path.write_text("accuracy_above: 0.8\nece_below: 0.05\nimages_at_least: 200\n", encoding="utf-8")
    assert read_policy(path) == GateConfig(accuracy_above=0.8, ece_below=0.05, images_at_least=200)


def test_an_empty_policy_is_the_default(tmp_path: Path) -> None:
    (tmp_path / "gate.yaml").write_text("", encoding="utf-8")
    assert read_policy(tmp_path / "gate.yaml") == GateConfig()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("acuracy_above: 0.8\n", "acuracy_above"),
        ("accuracy_above: 80\n", "from 0 to 1"),
        ("accuracy_above: high\n", "from 0 to 1"),
        ("images_at_least: 0\n", "from 1"),
        ("subgroups_told: [gender]\n", "subgroups_told must be of sex, age_band, .* 'gender' is none of these"),
        ("- 0.8\n", "must map"),
        ("a: [\n", "no YAML"),
    ],
)
def test_a_bad_policy_is_refused_in_one_line_that_names_the_file(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "gate.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=says) as error:
        read_policy(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_the_example_in_the_documents_names_every_line_and_gives_a_reason_for_each() -> None:
    policy = read_policy(EXAMPLE)
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    named = [line.partition(":")[0] for line in lines if line and not line.startswith("#")]
    assert named == [field.name for field in fields(GateConfig)]
    assert all(getattr(policy, name) not in (None, False) for name in named), "each is asked for"
    for name in named:
        before = lines[next(at for at, line in enumerate(lines) if line.startswith(name)) - 1]
        assert before.startswith("# "), name
        assert ": " in before, "unit, colon, reason"


@pytest.mark.parametrize("limit", [1.5, -0.1, True, "all"])
def test_the_share_of_known_failures_is_a_share(limit: object) -> None:
    with pytest.raises(InputError, match="known_failures_mended_at_least must be a share from 0 to 1"):
        GateConfig(known_failures_mended_at_least=limit)


def test_a_missing_policy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gate\.yaml"):
        read_policy(tmp_path / "gate.yaml")
