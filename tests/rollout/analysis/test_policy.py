"""The policy: typed, read from YAML, and shipped with a reason for every line."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from secondread.config.rollout import CompareConfig, EvidenceConfig, RolloutConfig, StageConfig, TriggerConfig
from secondread.errors import InputError
from secondread.rollout.analysis.policy import read_policy
from secondread.serving.transformer import metrics

SHIPPED = Path(__file__).parents[3] / "docs" / "rollout.yaml"


def test_the_shipped_policy_is_the_default() -> None:
    assert read_policy(SHIPPED) == RolloutConfig()


def test_the_shipped_policy_states_every_setting_with_its_unit_and_a_reason() -> None:
    lines = [line.strip().removeprefix("- ") for line in SHIPPED.read_text(encoding="utf-8").splitlines()]
    for config in (TriggerConfig, CompareConfig, EvidenceConfig):
        for field in fields(config):
            at = next(number for number, line in enumerate(lines) if line.startswith(f"{field.name}:"))
            assert lines[at - 1].startswith("# "), field.name
            assert ":" in lines[at - 1], f"{field.name}: unit, colon, reason"
    for field in fields(StageConfig):
        assert any(line.startswith(f"{field.name}:") for line in lines)


def test_the_seeds_rules_are_the_defaults() -> None:
    triggers, stages = RolloutConfig().triggers, RolloutConfig().stages
    assert (triggers.latency_ms_above, triggers.latency_seconds, triggers.errors_above) == (500, 300, 0.01)
    assert [stage.traffic_percent for stage in stages] == [0, 0, 10, 25, 50, 100]


def test_the_limit_of_latency_is_a_bound_of_the_histogram_that_is_served() -> None:
    metric = next(iter(metrics.REQUEST_SECONDS.labels("any", "any", "total").collect()))
    bounds = {float(sample.labels["le"]) for sample in metric.samples if "le" in sample.labels}
    assert 0.5 in bounds
    metrics.REQUEST_SECONDS.remove("any", "any", "total")


def test_what_is_not_stated_has_its_default(tmp_path: Path) -> None:
    path = tmp_path / "rollout.yaml"
    path.write_text("triggers: {latency_ms_above: null, errors_above: 0.02}\n", encoding="utf-8")
    assert read_policy(path) == RolloutConfig(triggers=TriggerConfig(latency_ms_above=None, errors_above=0.02))
    path.write_text("", encoding="utf-8")
    assert read_policy(path) == RolloutConfig()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("stage: []\n", "has no setting stage"),
        ("stages: []\n", "stages is empty"),
        ("stages: [{name: full, traffic_percent: 90}]\n", "must end at 100 percent"),
        ("stages: [{name: a, traffic_percent: 50}, {name: b, traffic_percent: 20}]\n", "must not take traffic away"),
        ("stages: [{name: a, traffic_percent: 50}, {name: a, traffic_percent: 100}]\n", "has a name twice: a, a"),
        ("stages: [{traffic_percent: 100}]\n", "name is empty"),
        ("stages: [{name: a}]\n", "give it traffic, mirrored traffic or checks"),
        ("stages: [{name: a, traffic_percent: 10, mirror_percent: 100}]\n", "mirror_percent of stage a must be 0"),
        ("stages: [{name: a, mirror_percent: 50}]\n", "stage a must be 0 or 100, not 50: requests are mirrored all or"),
        (
            "stages: [{name: a, checks: [loadtest]}]\n",
            "names loadtest, which is none: there are load_test, conformance",
        ),
        ("stages: [{name: a, traffic_percent: 101}]\n", "from 0 to 100, not 101"),
        ("stages: [{name: a, traffic_percent: 100, deadline_seconds: 5}]\n", "must not be above undecided_seconds"),
        ("stages: [{name: a, traffic_percent: 100, requests_at_least: 0}]\n", "requests_at_least of stage a"),
        ("deadline_seconds: 0\n", "deadline_seconds must be above 0"),
        ("triggers: {latency_ms_above: soon}\n", "latency_ms_above must be above 0 or null, not 'soon'"),
        ("triggers: {errors_above: 1}\n", "errors_above must be between 0 and 1"),
        ("triggers: {latency_share: 0}\n", "latency_share must be between 0 and 1"),
        ("triggers: {drift: [{above: 1}]}\n", "statistic is empty"),
        ("triggers: {unready_seconds: -1}\n", "unready_seconds must not be negative"),
        (
            "compare: {errors_worse_points: 2}\n",
            "errors_worse_points must be null or from 0 to errors_margin_points, 1",
        ),
        ("compare: {errors_worse_points: much}\n", "errors_worse_points must be null or from 0"),
        ("compare: {errors_worse_points: null}\n", "required names errors, which is not compared"),
        ("compare: {required: [speed]}\n", "required names speed"),
        ("evidence: {false_rollback_share: 0}\n", "false_rollback_share must be between 0 and 1"),
        ("evidence: {images_alike: 0.5}\n", "images_alike must be 1 or more"),
        ("evidence: {age_seconds: 0}\n", "age_seconds must be above 0"),
        ("evidence: {settle_seconds: -1}\n", "settle_seconds must not be negative"),
        ("evidence: {times_alike_sure: 1}\n", "times_alike_sure must be between 0 and 1"),
        ("- 1\n", "must map settings"),
        ("a: [\n", "no YAML"),
    ],
)
def test_a_bad_policy_is_refused_in_one_line_that_names_the_file(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "rollout.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=says) as error:
        read_policy(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_policy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read the rollout policy .*rollout\.yaml"):
        read_policy(tmp_path / "rollout.yaml")
