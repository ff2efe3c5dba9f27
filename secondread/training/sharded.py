"""Weights and optimiser states that may be spread over processes, as whole tensors and back.

Without FSDP nothing is spread, and these functions copy to and from the CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from secondread.model.vit import ViT


def whole(tensor: Tensor) -> Tensor:
    """A contiguous copy on the CPU. Every process must ask, in the same order: they send each other their parts."""
    tensor = tensor.detach()
    own = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return own.cpu().clone(memory_format=torch.contiguous_format)


def whole_state(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU, by name."""
    return {name: whole(tensor) for name, tensor in tensors.items()}


def load_state(tensors: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Overwrite tensors in place; each process takes its part."""
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(_spread_like(tensor, state[name]))


def whole_optimizer(optimizer: Optimizer) -> dict[str, Any]:
    """An optimiser's state, its tensors copied to the CPU."""
    document = optimizer.state_dict()
    states = {
        index: {name: whole(value) if isinstance(value, Tensor) else value for name, value in state.items()}
        for index, state in document["state"].items()
    }
    return {"state": states, "param_groups": document["param_groups"]}


def load_optimizer(optimizer: Optimizer, document: Mapping[str, Any]) -> None:
    """Put an optimiser back into a state; each process takes its part."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    states = {
        index: {
            name: _spread_like(parameters[index], value) if _is_of(parameters[index], value) else value
            for name, value in state.items()
        }
        for index, state in document["state"].items()
    }
    optimizer.load_state_dict({"state": states, "param_groups": document["param_groups"]})


def shard(model: ViT, mesh: DeviceMesh) -> None:
    """Spread a network's weights, gradients and optimiser state over processes (FSDP, Zhao et al. 2023).

    The weights of one block at a time are whole in every process.

    Args:
        model: is changed in place.
        mesh: of the processes, one dimension.
    """
    for block in model.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)


def same_buffers(model: nn.Module) -> None:
    """Give all processes the running means and variances of the first one, which those under DDP have at every step."""
    for buffer in model.buffers():
        torch.distributed.broadcast(buffer, src=0)


def _is_of(parameter: Tensor, value: Any) -> bool:
    return isinstance(value, Tensor) and value.shape == parameter.shape


def _spread_like(tensor: Tensor, value: Tensor) -> Tensor:
    if not isinstance(tensor, DTensor):
        return value
    # every process has the whole value, so nobody needs to send it
    return distribute_tensor(value.to(tensor.device), tensor.device_mesh, tensor.placements, src_data_rank=None)
