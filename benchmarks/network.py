"""A network in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from secondread.config.train import TrainConfig
    from secondread.data.versions.dataset import DatasetVersion


def network(dataset: DatasetVersion, config: TrainConfig) -> str:
    """A preset with its size."""
    from secondread.model.vit import parameter_count
    from secondread.training.fit import architecture_for, preset_name

    millions = parameter_count(architecture_for(dataset, config)) / 1e6
    return f"{preset_name(dataset, config)} ({millions:.1f} M parameters, {dataset.image_size} px)"
