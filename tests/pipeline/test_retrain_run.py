"""A real run of the retraining pipeline: from the champion and a child version to a challenger, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from secondread.atomic import read_json
from secondread.config.augment import AugmentConfig
from secondread.data.versions.augment import augment
from secondread.data.versions.dataset import DatasetVersion
from secondread.errors import GateRefused, InputError
from secondread.model.folder import ModelFolder
from secondread.pipeline.arguments import RetrainPipelineSettings, retrain_arguments
from secondread.pipeline.retrain_run import RetrainRun
from secondread.pipeline.steps.champion import champion
from secondread.pipeline.steps.fetch import fetch
from secondread.pipeline.steps.register import register
from secondread.pipeline.success import failures, write_success
from secondread.pipeline.train_run import TrainRun
from secondread.tracking.registry import RegisteredVersion, Registry
from secondread.tracking.runs import open_client

STEPS = ("fetch", "champion", "train", "evaluate on val", "quantize", "evaluate on test", "compare", "register")
# Steps so small that the weights stay where they were: what comes out shows what was begun with.
STILL = {"epochs": 1, "threads": 1, "learning_rate": 1e-12}
# The statistics of the batches do move, and one of ten test images is ten points.
ANY_DIFFERENCE = {"accuracy_margin_points": 100, "auroc_margin_points": 100}


@pytest.fixture(autouse=True)
def _home(pipeline: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the champion is; every test has a home of its own otherwise."""
    monkeypatch.setenv("SECONDREAD_HOME", str(pipeline.home))


@pytest.fixture(scope="module")
def served(pipeline: Any, first_run: TrainRun) -> RegisteredVersion:
    """The champion, whichever the tests before have left."""
    return Registry(pipeline.tracking_uri).get("tiny")


@pytest.fixture(scope="module")
def parent(pipeline: Any, served: RegisteredVersion) -> DatasetVersion:
    """What the champion learned from."""
    tags = open_client(pipeline.tracking_uri).get_model_version("tiny", str(served.version)).tags
    versions = map(DatasetVersion.open, {path.parent for path in pipeline.home.glob("runs/**/dataset.json")})
    return next(version for version in versions if version.content_hash == tags["dataset_version"])


@pytest.fixture(scope="module")
def child(parent: DatasetVersion, tmp_path_factory: pytest.TempPathFactory) -> DatasetVersion:
    """More of a class to learn from, and the same test images."""
    config = AugmentConfig(label="cxr-covid", fraction=1.0)
    return augment(parent, tmp_path_factory.mktemp("retrain") / "child", config)


@pytest.fixture(scope="module")
def retrained(pipeline: Any, child: DatasetVersion, parent: DatasetVersion) -> RetrainRun:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECONDREAD_HOME", str(pipeline.home))
        result: RetrainRun = pipeline.retrain(child.root, parent.root, train=STILL, compare=ANY_DIFFERENCE)
    return result


def test_a_challenger_is_registered_beside_the_champion(
    retrained: RetrainRun, served: RegisteredVersion, child: DatasetVersion, pipeline: Any
) -> None:
    assert tuple(retrained.seconds) == STEPS
    assert retrained.cached == ()
    assert (retrained.status, retrained.alias) == ("registered", "challenger")
    assert retrained.champion_version == served.version
    registry = Registry(pipeline.tracking_uri)
    assert registry.get("tiny") == served
    challenger = registry.get("tiny", "challenger")
    assert challenger.version == retrained.registered_version != served.version
    assert challenger.digest == ModelFolder.open(retrained.model).digest()
    tags = open_client(pipeline.tracking_uri).get_model_version("tiny", str(challenger.version)).tags
    assert (tags["dataset_version"], tags["registered_by"]) == (child.content_hash, "pipeline retrain")
    assert tags["compared_with"] == str(served.version)
    assert "accuracy differs by" in tags["registered_because"]


def test_it_began_with_the_champions_weights(retrained: RetrainRun) -> None:
    """They did not move in steps that small; those of another seed would be elsewhere."""
    weights = [load_file(Path(place) / "model.safetensors") for place in (retrained.champion, retrained.model)]
    learned = [name for name in weights[0] if "running" not in name and "num_batches" not in name]
    assert len(learned) > 10
    for name in learned:
        np.testing.assert_allclose(weights[1][name], weights[0][name], atol=1e-6)


def test_the_champion_that_was_compared_is_the_one_that_is_served(
    retrained: RetrainRun, served: RegisteredVersion, pipeline: Any
) -> None:
    """And its figure is the one of the day when it was judged: the test images are the same."""
    assert ModelFolder.open(retrained.champion).digest() == served.digest
    tags = open_client(pipeline.tracking_uri).get_model_version("tiny", str(served.version)).tags
    found = retrained.differences["accuracy"]
    assert found["champion"] == pytest.approx(float(tags["gate.accuracy"]), abs=1e-6)
    assert found["challenger"] == pytest.approx(retrained.metrics["accuracy"]["value"])
    assert found["value"] == pytest.approx(found["challenger"] - found["champion"])
    assert found["low"] <= found["value"] <= found["high"]
    page = Path(retrained.comparison)
    assert "On the same images" in page.read_text()
    assert read_json(page.with_name("comparison.json"))["mcnemar"] == retrained.mcnemar


def test_kubeflow_shows_the_figures(retrained: RetrainRun) -> None:
    shown = read_json(Path(retrained.comparison).parents[1] / "metrics")
    found = retrained.differences["auroc_macro"]
    assert shown["auroc_macro_difference_points"] == pytest.approx(100 * found["value"])
    assert {"mcnemar_p", "accuracy_champion", "accuracy_challenger", "accuracy_difference_points_low"} <= set(shown)


def test_a_gate_that_refuses_leaves_the_champion_alone_and_the_rest_comes_from_the_cache(
    retrained: RetrainRun, pipeline: Any, child: DatasetVersion, parent: DatasetVersion
) -> None:
    before = len(Registry(pipeline.tracking_uri).versions("tiny"))
    again = pipeline.retrain(child.root, parent.root, train=STILL, gate={"accuracy_above": 0.9999})
    assert (again.status, again.registered_version, again.comparison) == ("refused", None, "")
    assert again.cached == STEPS[:3]
    assert "not above 0.9999" in again.reason
    assert len(Registry(pipeline.tracking_uri).versions("tiny")) == before


def sealed(folder: Path, step: str, facts: dict[str, Any], **inputs: Path) -> Path:
    folder.mkdir()
    write_success(folder, step=step, inputs=inputs, facts=facts)
    return folder


def refusal_of_register(tmp_path: Path, retrained: RetrainRun, comparison: Path) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        register(
            retrained.model,
            str(Path(retrained.report).parent),
            str(tmp_path / "out"),
            name="tiny",
            root=str(tmp_path / "models"),
            comparison=str(comparison),
        )
    return int(str(ended.value.code)), failures(tmp_path)[0].message


def test_a_challenger_that_is_worse_is_not_registered_whatever_the_condition_did(
    retrained: RetrainRun, tmp_path: Path
) -> None:
    compared = Path(retrained.comparison).parent
    facts = read_json(compared / "_SUCCESS.json")["facts"] | {"passed": False, "reasons": ["accuracy differs by -9"]}
    fake = sealed(tmp_path / "compared", "compare", facts, challenger=Path(retrained.model))
    code, message = refusal_of_register(tmp_path, retrained, fake)
    assert (code, "accuracy differs by -9" in message) == (GateRefused.exit_code, True)


def test_a_comparison_of_another_model_is_refused(retrained: RetrainRun, tmp_path: Path) -> None:
    facts = read_json(Path(retrained.comparison).parent / "_SUCCESS.json")["facts"]
    fake = sealed(tmp_path / "compared", "compare", facts, challenger=Path(retrained.champion))
    code, message = refusal_of_register(tmp_path, retrained, fake)
    assert (code, "is no comparison of" in message) == (InputError.exit_code, True)


def test_a_champion_that_is_none_any_more_was_compared_in_vain(
    retrained: RetrainRun, served: RegisteredVersion, pipeline: Any, tmp_path: Path
) -> None:
    """While the challenger was trained somebody made another version champion."""
    client = open_client(pipeline.tracking_uri)
    client.set_registered_model_alias("tiny", "champion", str(retrained.registered_version))
    try:
        code, message = refusal_of_register(tmp_path, retrained, Path(retrained.comparison).parent)
    finally:
        client.set_registered_model_alias("tiny", "champion", str(served.version))
    assert code == InputError.exit_code
    assert f"compared with version {served.version}, and version {retrained.registered_version} is champion by now" in (
        message
    )


def test_a_champion_that_learned_from_something_else_is_refused(
    child: DatasetVersion, parent: DatasetVersion, tmp_path: Path
) -> None:
    """It may have seen the images that both are to be judged on."""
    some = augment(parent, tmp_path / "some", AugmentConfig(label="cxr-covid", fraction=0.3))
    fetch(str(child.root), str(tmp_path / "dataset"), parent=str(some.root))
    with pytest.raises(SystemExit) as ended:
        champion(str(tmp_path / "dataset"), str(tmp_path / "model"), name="tiny")
    assert ended.value.code == InputError.exit_code
    assert f"learned from dataset version {parent.name}" in failures(tmp_path)[0].message
    assert not (tmp_path / "model").exists()


def test_a_child_whose_test_split_was_touched_is_refused(
    child: DatasetVersion, parent: DatasetVersion, tmp_path: Path
) -> None:
    images = np.load(parent.root / "images-test.npy")
    other = augment(parent, tmp_path / "other", AugmentConfig(label="cxr-covid", fraction=0.5))
    np.save(other.root / "images-test.npy", 255 - images)
    with pytest.raises(SystemExit) as ended:
        fetch(str(other.root), str(tmp_path / "dataset"), parent=str(parent.root))
    assert ended.value.code == InputError.exit_code
    assert "pixels differ" in failures(tmp_path)[0].message


def test_without_a_champion_nothing_starts(child: DatasetVersion, parent: DatasetVersion) -> None:
    chosen = RetrainPipelineSettings(str(child.root), str(parent.root), name="nobody", root="models")
    with pytest.raises(
        InputError, match=r"no model 'nobody' with version or alias 'champion'. Run `secondread pipeline"
    ):
        retrain_arguments(chosen)


def test_a_pod_is_given_names_that_it_can_reach(child: DatasetVersion, parent: DatasetVersion) -> None:
    with pytest.raises(InputError, match="which a pod does not reach"):
        retrain_arguments(RetrainPipelineSettings(str(child.root), str(parent.root), root="s3://models"), remote=True)


def test_the_gates_margins_are_those_of_the_comparison_unless_that_states_its_own() -> None:
    gate = {"accuracy_margin_points": 2.0, "auroc_margin_points": 4.0}
    chosen = RetrainPipelineSettings("x", "y", gate=gate, compare={"auroc_margin_points": 5.0})
    assert chosen.margins == {"accuracy_margin_points": 2.0, "auroc_margin_points": 5.0}


def test_a_setting_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InputError, match="compare has no setting margin"):
        RetrainPipelineSettings("x", "y", compare={"margin": 1})
