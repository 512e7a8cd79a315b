"""A model whose weights are spread over the processes (FSDP), by torch's own `fully_shard`.

Parameters are then DTensors, of which each process holds a part. Checkpoints hold whole tensors,
so that a run may go on with another number of processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

__all__ = ["copy_whole", "gather", "reshard", "scatter_optimizer", "set_gradient_sync", "shard"]


def shard(model: nn.Module, device: torch.device, num_processes: int) -> nn.Module:
    """Spread a model, block by block, in place.

    Args:
        model: With `transformer_blocks`, or shared as one; on the device.
        device: Of this process.
        num_processes: Of the run.

    Returns:
        The model.
    """
    mesh = init_device_mesh(device.type, (num_processes,))
    for block in getattr(model, "transformer_blocks", ()):
        fully_shard(block, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def set_gradient_sync(model: nn.Module, *, is_on: bool) -> None:
    """Say whether the next backward pass shares its gradients.

    Args:
        model: Of `shard`.
        is_on: False while micro-batches are accumulated.
    """
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(is_on)


def reshard(model: nn.Module) -> None:
    """Give up what a forward pass without a backward pass has gathered.

    Args:
        model: Of `shard`, or any other.
    """
    if isinstance(model, FSDPModule):
        model.reshard()


def gather(tree: Any) -> Any:
    """Make the DTensors of a nested structure whole; all processes must call it.

    Args:
        tree: Dictionaries, lists, tuples, and anything else in them.

    Returns:
        The same, with tensors of full size.
    """
    if isinstance(tree, DTensor):
        return tree.detach().full_tensor()
    if isinstance(tree, Mapping):
        return {name: gather(value) for name, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(gather(value) for value in tree)
    return tree


def copy_whole(target: torch.Tensor, whole: torch.Tensor) -> None:
    """Copy a whole tensor into one that may be spread.

    Args:
        target: A tensor, or a DTensor, of which this process's part is written.
        whole: Equal in all processes.
    """
    target.copy_(_like(whole, target))


def scatter_optimizer(
    state: Mapping[str, Any], optimizers: list[torch.optim.Optimizer]
) -> dict[str, Any]:
    """Spread the state of optimizers as their parameters are.

    Args:
        state: By position of the optimizer, of whole tensors.
        optimizers: Over parameters that may be spread.

    Returns:
        The state to load.
    """
    spread: dict[str, Any] = {}
    for number, optimizer in enumerate(optimizers):
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        own = state[str(number)]
        states = {
            index: {
                name: _like(value, parameters[index]) if _fits(value, parameters[index]) else value
                for name, value in values.items()
            }
            for index, values in own["state"].items()
        }
        spread[str(number)] = {**own, "state": states}
    return spread


def _fits(value: Any, parameter: torch.Tensor) -> bool:
    return isinstance(value, torch.Tensor) and value.shape == parameter.shape


def _like(whole: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    if not isinstance(target, DTensor) or isinstance(whole, DTensor):
        return whole
    on_device = whole.to(target.device, target.dtype)
    return distribute_tensor(on_device, target.device_mesh, target.placements)
