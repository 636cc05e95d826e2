"""Running averages of the parameters of a Boltzmann machine, which look back over a share of the training."""

import torch
from torch import Tensor, nn


class ParameterAverages:
    """Buffers `average_NAME` of `model`, one for each of its parameters. They move every few updates."""

    def __init__(self, model: nn.Module, look_back: float) -> None:
        """`look_back` is the share of the training, in (0, 1); with 0 there are no averages."""
        self.model, self.look_back = model, look_back
        self.progress, self.waiting = 0.0, 0  # share of the training at the last move, and updates since
        if look_back:
            for name, parameter in list(model.named_parameters()):
                model.register_buffer(f"average_{name}", parameter.detach().clone())

    def update(self, progress: float) -> None:
        """After an update at `progress` in [0, 1] of the training. At its start the averages look back over all of it."""
        self.progress = min(self.progress, progress)  # a share of a shorter training, where the run was made longer
        step = progress - self.progress
        self.waiting += 1
        if self.look_back and step >= self.look_back / 300 and self.waiting >= 4:
            weight = min(1.0, step / min(self.look_back, progress))
            for name, parameter in self.model.named_parameters():
                self.model.get_buffer(f"average_{name}").lerp_(parameter, weight)
            self.progress, self.waiting = progress, 0

    def state(self) -> Tensor:
        return torch.tensor([self.progress, self.waiting], dtype=torch.float64)

    def load(self, state: Tensor) -> None:
        self.progress, self.waiting = float(state[0]), int(state[1])
