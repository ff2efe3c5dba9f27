"""A refusal reaches the versions that the registry has of a model, so that `promote` refuses them too."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from secondread.config.environment import Environment
from secondread.errors import GateRefused, IntegrityError
from secondread.model.folder import ModelFolder
from secondread.pipeline.steps.refuse import refuse
from secondread.pipeline.success import failures, write_success
from secondread.tracking.gate_tags import gate_tags
from secondread.tracking.origin import Origin
from secondread.tracking.promotion import Decision, promote
from secondread.tracking.registry import Registry
from secondread.tracking.runs import TrackingConfig, open_run

REASON = "accuracy 0.8000 is not above 0.9"


def verdict(*, passed: bool, split: str = "test", policy: str = "strict") -> dict[str, Any]:
    lines = [
        {"name": "accuracy_above", "passed": passed, "reason": "accuracy 0.8000 is above 0.7" if passed else REASON},
        {"name": "images_at_least", "passed": True, "reason": "100 images"},
    ]
    metrics = {"accuracy": {"value": 0.8}}
    return {"split": split, "passed": passed, "policy": policy, "lines": lines, "metrics": metrics}


@pytest.fixture
def model(tiny_model: ModelFolder, mlflow_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What step `quantize` might have written, tracked."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
    folder = tmp_path / "model"
    shutil.copytree(tiny_model.root, folder)
    with open_run(TrackingConfig(mlflow_uri, "cxr", {})) as run:
        Origin(run.run_id).write(folder)
    write_success(folder, step="quantize", inputs={}, facts={})
    return folder


@pytest.fixture
def registry(model: Path, mlflow_uri: str, tmp_path: Path) -> Registry:
    """Version 1 is champion, and version 2, the model, passed a loose policy."""
    registry = Registry(mlflow_uri)
    other = tmp_path / "other"
    shutil.copytree(model, other)
    (other / "config.json").write_text((model / "config.json").read_text() + "\n\n")
    tags = gate_tags(verdict(passed=True, policy="loose"))
    for folder, origin in ((other, Origin()), (model, Origin.read(model))):
        registry.register(
            ModelFolder.open(folder),
            name="cxr",
            root=tmp_path / "models",
            tags=tags,
            environment=Environment.read(),
            origin=origin,
        )
    return registry


def judged(folder: Path, model: Path, facts: dict[str, Any], *, step: str = "evaluate", as_: str = "model") -> str:
    folder.mkdir()
    write_success(folder, step=step, inputs={as_: model}, facts=facts)
    return str(folder)


def gate(registry: Registry, version: str) -> dict[str, str]:
    tags = registry.record("cxr", version).tags
    return {name: text for name, text in tags.items() if name.startswith("gate")}


def test_a_version_that_a_stricter_policy_refuses_is_not_promoted(
    registry: Registry, model: Path, record: str, tmp_path: Path
) -> None:
    facts = verdict(passed=False)
    assert refuse(str(model), judged(tmp_path / "judged", model, facts), record, name="cxr") == {"versions": [2]}
    assert gate(registry, "2") == gate_tags(facts)
    assert gate(registry, "1")["gate.passed"] == "true"
    with pytest.raises(GateRefused, match="the gate refused version 2"):
        promote(registry, "cxr", decision=Decision("Ada", "better"), environment=Environment.read())


def test_val_refuses_every_version_of_the_training_and_leaves_the_figures_of_test(
    registry: Registry, model: Path, record: str, tmp_path: Path
) -> None:
    """The graph that val sees is not the quantized one, which has another digest."""
    config = model / "config.json"
    config.write_text(config.read_text() + "\n")
    write_success(model, step="train", inputs={}, facts={})
    facts = verdict(passed=False, split="val")
    assert refuse(str(model), judged(tmp_path / "judged", model, facts), record, name="cxr") == {"versions": [2]}
    before = gate_tags(verdict(passed=True))
    assert gate(registry, "2") == {
        **before,
        "gate.passed": "false",
        "gate.accuracy_above": f"failed: {REASON}, on val",
    }


def test_a_comparison_refuses_too(registry: Registry, model: Path, record: str, tmp_path: Path) -> None:
    facts = {"passed": False, "lines": [{"name": "auroc_margin_points", "passed": False, "reason": "9 points less"}]}
    folder = judged(tmp_path / "judged", model, facts, step="compare", as_="challenger")
    assert refuse(str(model), folder, record, name="cxr") == {"versions": [2]}
    assert gate(registry, "2")["gate.auroc_margin_points"] == "failed: 9 points less"
    assert gate(registry, "2")["gate.passed"] == "false"


def test_a_model_that_was_never_registered_is_refused_without_a_word(model: Path, record: str, tmp_path: Path) -> None:
    folder = judged(tmp_path / "judged", model, verdict(passed=False))
    assert refuse(str(model), folder, record, name="nobody") == {"versions": []}


@pytest.mark.parametrize(
    ("passed", "other", "said"), [(True, False, "is no refusal"), (False, True, "judges another model than")]
)
def test_what_does_not_refuse_this_model_is_not_taken_for_it(
    model: Path, record: str, tmp_path: Path, *, passed: bool, other: bool, said: str
) -> None:
    named = tmp_path / "named"
    shutil.copytree(model, named)
    write_success(named, step="quantize", inputs={}, facts={"other": other})
    folder = judged(tmp_path / "judged", named, verdict(passed=passed))
    with pytest.raises(SystemExit) as ended:
        refuse(str(model if other else named), folder, record, name="cxr")
    assert ended.value.code == IntegrityError.exit_code
    assert said in failures(Path(record).parent)[0].message
