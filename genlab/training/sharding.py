"""Models too large for the memory of one device: each process keeps a part of the parameters and of the optimizer's state.

torch.distributed.fsdp.fully_shard gathers the parameters of a block when the block computes, and scatters its gradients
(Zhao et al. 2023; Rajbhandari et al. 2020). What is trained is a copy of the model, and its parts are gathered into the model
itself for pictures, measures and checkpoints. A checkpoint is that of a model that was never sharded.
"""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from genlab.config.schema import family_of
from genlab.errors import GenlabError
from genlab.models.base import Model
from genlab.models.ema import FrozenCopy
from genlab.numerics import ranks

BLOCK = 2**14
"""Parameters of a block that is gathered on its own. Smaller ones are gathered with what they are part of."""


def network_of(model: Model) -> nn.Module:
    """The one network whose parameters are trained. Raises GenlabError where there are several, or none that can be sharded."""
    trained = [part for part in model.children() if any(p.requires_grad for p in part.parameters())]
    family = family_of(type(model).__name__)
    if len(trained) != 1 or len(model.optimizers) != 1 or any(p.requires_grad for p in model.parameters(recurse=False)):
        raise GenlabError(
            f"device.shard=true: model={family} is no single network, as model=diffusion and model=flow_matching are; "
            "set device.shard=false"
        )
    if getattr(trained[0], "needs_second_derivatives", None) is not None:
        raise GenlabError(
            f"device.shard=true: model={family} needs derivatives by its input, which a sharded network has not; "
            "set device.shard=false"
        )
    if any(isinstance(optimizer, torch.optim.LBFGS) for optimizer in model.optimizers.values()):
        raise GenlabError("device.shard=true: optimizer=lbfgs takes all parameters as one vector; set optimizer=adam")
    return trained[0]


def sharded(model: Model) -> Model:
    """A copy of `model`, its optimizer included, of which this process keeps its part."""
    from torch.distributed.device_mesh import init_device_mesh

    twin = copy.deepcopy(model)
    mesh = init_device_mesh(model.device.type, (ranks.world(),))
    before = dict(twin.named_parameters())
    _shard(network_of(twin), mesh)
    for part in twin.modules():
        if isinstance(part, FrozenCopy):
            _shard(part.network, mesh)
    after = dict(twin.named_parameters())
    names = {id(parameter): name for name, parameter in before.items()}
    for optimizer in twin.optimizers.values():
        _move(optimizer, names, after, mesh)
    return twin


def _shard(network: nn.Module, mesh: Any) -> None:
    from torch.distributed.fsdp import fully_shard

    for part in reversed(list(network.modules())):  # the innermost first
        if isinstance(part, nn.ModuleList | nn.Sequential):
            for block in part:
                if type(block).forward is not nn.Module.forward and sum(p.numel() for p in block.parameters()) >= BLOCK:
                    fully_shard(block, mesh=mesh)
    fully_shard(network, mesh=mesh)


def _move(optimizer: Optimizer, names: Mapping[int, str], after: Mapping[str, nn.Parameter], mesh: Any) -> None:
    """The optimizer steps the sharded parameters, with its part of the state that it had."""
    from torch.distributed.tensor import distribute_tensor

    for group in optimizer.param_groups:
        moved = []
        for parameter in group["params"]:
            new = after[names[id(parameter)]]
            state = optimizer.state.pop(parameter, {})
            placements = new.placements  # type: ignore[attr-defined]
            optimizer.state[new] = {
                name: distribute_tensor(value, mesh, placements)
                if isinstance(value, Tensor) and value.shape == new.shape and value.ndim
                else value
                for name, value in state.items()
            }
            if not optimizer.state[new]:
                del optimizer.state[new]
            moved.append(new)
        group["params"] = moved


@torch.no_grad()
def gather(twin: Model, model: Model) -> None:
    """Write the parameters and buffers of all parts into `model`. All processes call this together."""
    whole = {name: full(value) for name, value in twin.state_dict().items()}
    model.load_state_dict(whole)


def full(value: Any) -> Any:
    """A tensor whose parts lie in several processes, as a whole; anything else as it is. Containers are searched."""
    if isinstance(value, Tensor) and hasattr(value, "full_tensor"):
        return value.full_tensor()
    if isinstance(value, dict):
        return {key: full(item) for key, item in value.items()}
    if isinstance(value, list):
        return [full(item) for item in value]
    return value
