"""Lightning's Trainer, as every strategy uses it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy, Strategy

from secondread.config.train import TrainConfig
from secondread.training.batches import Share
from secondread.training.stop import signals_put_back


@dataclass(frozen=True)
class TrainerParts:
    """What a strategy gives Lightning. The defaults are those of one process.

    Attributes:
        strategy: how processes work together; "auto" for one process.
        plugins: such as a cluster environment that says which process this is.
        accelerator: `cpu`, `cuda` or `auto`.
        devices: of this machine, one for each process on it; or `auto`, where the plugin says how many.
        nodes: machines.
        callbacks: further ones, after ours: when they run at the end of an epoch, its checkpoint is written.
    """

    strategy: Strategy | str = "auto"
    plugins: Sequence[Any] = ()
    accelerator: str = "auto"
    devices: int | str = 1
    nodes: int = 1
    callbacks: Sequence[Callback] = ()


def parts_for(config: TrainConfig, share: Share) -> TrainerParts:
    """Parts for this process alone, or for one of those that `torch.distributed.run` started."""
    on_this_machine = share.processes if share.processes == 1 else share.processes // config.nodes
    cuda = config.accelerator != "cpu" and torch.cuda.device_count() >= on_this_machine
    strategy: Strategy | str = "auto"
    if share.processes > 1:
        backend = "nccl" if cuda else "gloo"
        strategy = DDPStrategy(process_group_backend=backend)
        if config.strategy == "fsdp":
            strategy = ModelParallelStrategy(
                data_parallel_size=share.processes, tensor_parallel_size=1, process_group_backend=backend
            )
    return TrainerParts(
        strategy=strategy,
        accelerator="cuda" if cuda else "cpu",
        devices=on_this_machine,
        nodes=config.nodes if share.processes > 1 else 1,
    )


def precision_for(config: TrainConfig, *, cuda: bool) -> str:
    """`32-true` or `bf16-mixed`. bfloat16 that processor or GPU has no instructions for is slower than float32."""
    if config.precision != "auto":
        return config.precision
    capabilities = torch.cpu.get_capabilities()
    on_cpu = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    there = torch.cuda.is_bf16_supported(including_emulation=False) if cuda else on_cpu
    return "bf16-mixed" if there else "32-true"


def make_trainer(
    config: TrainConfig, parts: TrainerParts, *, epochs: int, callbacks: Sequence[Callback]
) -> lightning.Trainer:
    """Lightning's Trainer for a recipe.

    Args:
        config: recipe.
        parts: of the strategy.
        epochs: passes over the train split.
        callbacks: ours, in the order in which they run.
    """
    cuda = parts.accelerator == "cuda" or (parts.accelerator == "auto" and torch.cuda.is_available())
    return lightning.Trainer(
        accelerator=parts.accelerator,
        devices=parts.devices,
        num_nodes=parts.nodes,
        strategy=parts.strategy,
        plugins=list(parts.plugins) or None,
        precision=precision_for(config, cuda=cuda),  # type: ignore[arg-type]
        max_epochs=epochs,
        gradient_clip_val=config.gradient_clip,
        callbacks=[*callbacks, *parts.callbacks],
        # progress, tracking, order, checkpoints and the best weights are ours: the same under every strategy
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
    )


@contextmanager
def contained() -> Iterator[None]:
    """Keep back what Lightning says of its own choices and the handlers of signals it leaves; its errors are raised."""
    logger = logging.getLogger("lightning.pytorch")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with signals_put_back(), warnings.catch_warnings():
            # batches are slices of a memory map: worker processes would only copy them once more
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            # Lightning's use of a name that torch is about to drop
            warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated.*", category=FutureWarning)
            yield
    finally:
        logger.setLevel(before)
