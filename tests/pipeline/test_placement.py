"""Who trains and on what: from a recipe to a pipeline's parameters, and back in the step."""

import pytest

from secondread.config.mapping import from_mapping
from secondread.config.train import TrainConfig
from secondread.errors import InputError
from secondread.pipeline.arguments import TrainPipelineSettings, pipeline_arguments
from secondread.pipeline.placement import Placement

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
    sent = pipeline_arguments(TrainPipelineSettings(SOURCE, train=chosen))
    placement = Placement(sent["strategy"], sent["devices"], sent["nodes"], sent["accelerator_type"])
    there = from_mapping(TrainConfig, placement.settings(sent["train_settings"]))
    asked = from_mapping(TrainConfig, chosen)
    assert (there.strategy, there.world_size, there.nodes) == (asked.strategy, asked.world_size, asked.nodes)
    assert (there.epochs, there.accelerator) == (asked.epochs, "auto")


def test_the_number_of_devices_is_text_since_kubeflows_driver_reads_nothing_else() -> None:
    assert pipeline_arguments(TrainPipelineSettings(SOURCE, train={"strategy": "ddp"}))["devices"] == "2"
    assert pipeline_arguments(TrainPipelineSettings(SOURCE))["devices"] == "1"


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
