"""Who trains and on what, as parameters of a pipeline and as fields of `TrainConfig`: both directions in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from secondread.config.require import require
from secondread.config.train import TrainConfig

_FIELDS = ("strategy", "processes", "nodes")  # of TrainConfig, that are parameters of their own


@dataclass(frozen=True)
class Placement:
    """Who trains and on what.

    Attributes:
        strategy: one of `secondread.config.train.STRATEGIES`.
        devices: processes on each node, and accelerators of the train step's pod, as text: Kubeflow's driver takes
            the number of a resource from a text alone, and of a whole number asks for none without a word.
        nodes: machines.
        accelerator_type: resource name, such as nvidia.com/gpu; empty for none.
    """

    strategy: str = "single"
    devices: str = "1"
    nodes: int = 1
    accelerator_type: str = ""

    @property
    def elsewhere(self) -> bool:
        """Other pods than the step's own train."""
        return self.strategy in ("ray", "trainjob")

    @classmethod
    def of(cls, config: TrainConfig, accelerator_type: str = "") -> Placement:
        """What a recipe says of it."""
        devices = 1 if config.strategy == "single" else config.processes
        return cls(config.strategy, str(devices), config.nodes, accelerator_type)

    def settings(self, further: Mapping[str, Any]) -> dict[str, Any]:
        """Fields of `TrainConfig`.

        Args:
            further: other fields of it. Where an accelerator is asked for, a training that finds none is refused.
        Raises:
            InputError: `further` says something of it too, or the parameters do not fit together.
        """
        twice = sorted(set(further) & set(_FIELDS))
        require(
            not twice,
            f"train_settings has {', '.join(twice)}, which the pipeline's parameters strategy, devices and nodes say.",
        )
        whole = self.devices.isdecimal() and int(self.devices) > 0
        require(whole, f"devices must be a whole number above 0, as text, not '{self.devices}'.")
        alone = self.strategy == "single" and (self.devices, self.nodes) != ("1", 1)
        require(
            not alone,
            f"strategy single trains on 1 device of 1 node, not on {self.devices} of {self.nodes:.0f}. Choose ddp, "
            "fsdp, ray or trainjob, or leave devices and nodes at 1.",
        )
        asked = {"accelerator": "gpu"} if self.accelerator_type else {}
        require(
            not asked or further.get("accelerator", "gpu") == "gpu",
            f"accelerator_type is {self.accelerator_type}, but train.accelerator is '{further.get('accelerator')}'. "
            "Leave one of them out.",
        )
        return {**further, **asked, "strategy": self.strategy, "processes": int(self.devices), "nodes": self.nodes}


def without_placement(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of training without what `Placement` says."""
    return {name: value for name, value in settings.items() if name not in _FIELDS}
