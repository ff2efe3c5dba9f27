"""Who trains and on what: from a recipe to a pipeline's parameters, and back in the step."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from secondread.config.mapping import from_mapping
from secondread.config.train import TrainConfig
from secondread.config.trainjob import TrainJobSettings
from secondread.data.versions.dataset import DatasetVersion
from secondread.errors import InputError
from secondread.model.folder import ModelFolder
from secondread.pipeline.arguments import TrainPipelineSettings, pipeline_arguments
from secondread.pipeline.compile import TrainingVolume, compile_pipeline
from secondread.pipeline.placement import Placement
from secondread.pipeline.steps.train import _where_others_see_it
from secondread.pipeline.train_run import TrainRun

SOURCE = "phantom://demo?images=90"


@pytest.mark.parametrize(
    "chosen",
    [
        {"epochs": 3},
        {"strategy": "ddp"},
        {"strategy": "fsdp", "processes": 4, "epochs": 3},
        {"strategy": "trainjob", "processes": 1, "nodes": 2},
    ],
)
def test_the_step_trains_by_the_recipe_that_the_user_chose(chosen: dict[str, object]) -> None:
    sent = pipeline_arguments(TrainPipelineSettings(SOURCE, root="models", train=chosen))
    placement = Placement(sent["strategy"], sent["devices"], sent["nodes"], sent["accelerator_type"])
    there = from_mapping(TrainConfig, placement.settings(sent["train_settings"]))
    asked = from_mapping(TrainConfig, chosen)
    assert (there.strategy, there.world_size, there.nodes) == (asked.strategy, asked.world_size, asked.nodes)
    assert (there.epochs, there.accelerator) == (asked.epochs, "auto")


def test_the_number_of_devices_is_text_since_kubeflows_driver_reads_nothing_else() -> None:
    assert pipeline_arguments(TrainPipelineSettings(SOURCE, root="models", train={"strategy": "ddp"}))["devices"] == "2"
    assert pipeline_arguments(TrainPipelineSettings(SOURCE, root="models"))["devices"] == "1"


def test_who_asks_for_an_accelerator_does_not_train_without() -> None:
    assert Placement(accelerator_type="nvidia.com/gpu").settings({})["accelerator"] == "gpu"
    with pytest.raises(InputError, match=r"nvidia.com/gpu, but train.accelerator is 'cpu'"):
        TrainPipelineSettings(SOURCE, accelerator_type="nvidia.com/gpu", train={"accelerator": "cpu"})


@pytest.mark.parametrize(
    ("placement", "further", "why"),
    [
        (Placement("single", "4"), {}, "strategy single trains on 1 device of 1 node, not on 4 of 1"),
        (Placement("single", "1", 2), {}, "strategy single trains on 1 device of 1 node, not on 1 of 2"),
        (Placement("ddp", "two"), {}, "devices must be a whole number above 0, as text, not 'two'"),
        (Placement("ddp", "2"), {"processes": 4}, "train_settings has processes, which the pipeline's parameters"),
    ],
)
def test_what_cannot_be_is_refused(placement: Placement, further: dict[str, object], why: str) -> None:
    with pytest.raises(InputError, match=why):
        placement.settings(further)


def test_the_pod_that_waits_for_others_holds_no_accelerator() -> None:
    """Those of `ray` and `trainjob` train in pods of their own, which still must find one."""
    chosen = {"strategy": "trainjob", "nodes": 2}
    sent = pipeline_arguments(
        TrainPipelineSettings(SOURCE, root="models", accelerator_type="nvidia.com/gpu", train=chosen)
    )
    assert (sent["accelerator_type"], sent["nodes"], sent["train_settings"]) == ("", 2, {"accelerator": "gpu"})


def test_a_volume_is_mounted_as_kfps_own_function_does_it() -> None:
    from kfp import compiler, dsl, kubernetes

    @dsl.component(base_image="python")
    def train() -> None:
        pass

    @dsl.pipeline(name="mounted")
    def mounted() -> None:
        kubernetes.mount_pvc(train(), pvc_name="training", mount_path="/mnt/secondread")

    volume = TrainingVolume("training", gpu="amd.com/gpu", node_labels={"pool": "gpu"})
    with tempfile.TemporaryDirectory() as folder:
        compiler.Compiler().compile(mounted, f"{folder}/mounted.yaml")
        theirs = list(yaml.safe_load_all(Path(folder, "mounted.yaml").read_text()))[1]
    for name in ("train", "retrain"):
        spec, ours = yaml.safe_load_all(compile_pipeline(name, volume=volume))
        pods = [each["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-train"] for each in (ours, theirs)]
        assert pods[0]["pvcMount"] == pods[1]["pvcMount"]
        (_, unmounted) = yaml.safe_load_all(compile_pipeline(name))
        assert "pvcMount" not in unmounted["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-train"]
        container = spec["deploymentSpec"]["executors"]["exec-train"]["container"]
        told = TrainJobSettings.read({entry["name"]: entry["value"] for entry in container["env"]})
        assert (told.claim, told.gpu, dict(told.node_labels)) == ("training", "amd.com/gpu", {"pool": "gpu"})
        assert (told.image, told.mount) == (container["image"], "/mnt/secondread")


def test_what_a_step_was_given_is_copied_to_where_other_nodes_see_it(
    first_run: TrainRun, pipeline: Any, tmp_path: Path
) -> None:
    """A pod's inputs are in that pod alone; what is there already is not copied again."""
    version = DatasetVersion.open(next(pipeline.home.glob("runs/**/dataset.json")).parent)
    copy, model = _where_others_see_it(version, Path(first_run.model), tmp_path / "volume")
    assert copy.content_hash == version.content_hash
    assert copy.root.is_relative_to(tmp_path / "volume")
    assert model is not None
    assert ModelFolder.open(model).digest() == ModelFolder.open(first_run.model).digest()
    made = copy.root.stat().st_ino
    assert _where_others_see_it(version, Path(first_run.model), tmp_path / "volume")[0].root.stat().st_ino == made
    assert not (copy.root / "_SUCCESS.json").exists()
