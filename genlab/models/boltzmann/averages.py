"""Running averages of the parameters of a Boltzmann machine, which look back over a share of the training."""

import torch
from torch import Tensor, nn

MOVES = 300  # of the averages while they look back once, at most
APART = 4  # updates between two moves, at least


class ParameterAverages:
    """Buffers `average_NAME` of `model`, one for each of its parameters. They move every few updates."""

    def __init__(self, model: nn.Module, look_back: float) -> None:
        """`look_back` is the share of the training, in (0, 1); with 0 there are no averages."""
        self.model, self.look_back = model, look_back
        self.progress, self.waiting = 0.0, 0  # share of the training at the last move, and updates since
        self.counted: Tensor | None = None
        """Both of them in the memory of a GPU, which alone counts there: its updates are replayed without this code."""
        if look_back:
            for name, parameter in list(model.named_parameters()):
                model.register_buffer(f"average_{name}", parameter.detach().clone())

    def update(self, progress: float | Tensor) -> None:
        """After an update at `progress` in [0, 1] of the training. At its start the averages look back over all of it."""
        if not self.look_back:
            return
        if (where := next(self.model.parameters()).device).type != "cpu":
            self.update_in_memory(progress, where)
            return
        if self.counted is not None:  # it was on a GPU before
            self.load(self.state())
        progress = float(progress)
        self.progress = min(self.progress, progress)  # a share of a shorter training, where the run was made longer
        step = progress - self.progress
        self.waiting += 1
        if step >= self.look_back / MOVES and self.waiting >= APART:
            weight = min(1.0, step / min(self.look_back, progress))
            for name, parameter in self.model.named_parameters():
                self.model.get_buffer(f"average_{name}").lerp_(parameter, weight)
            self.progress, self.waiting = progress, 0

    def update_in_memory(self, progress: float | Tensor, where: torch.device) -> None:
        """The same with every decision on the device `where`: averages that do not move do so with the weight 0."""
        if self.counted is None:
            self.counted = torch.tensor([self.progress, self.waiting], dtype=torch.float32, device=where)
        last, waiting = self.counted.unbind()
        at = torch.zeros_like(last) + progress
        torch.minimum(last, at, out=last)
        waiting += 1
        step = at - last
        moves = (step >= self.look_back / MOVES) & (waiting >= APART)
        weight = torch.where(moves, (step / at.clamp_max(self.look_back)).clamp_max(1), 0)
        for name, parameter in self.model.named_parameters():
            self.model.get_buffer(f"average_{name}").lerp_(parameter, weight)
        last.copy_(torch.where(moves, at, last))
        waiting *= ~moves

    def state(self) -> Tensor:
        if self.counted is not None:
            return self.counted.cpu().double()
        return torch.tensor([self.progress, self.waiting], dtype=torch.float64)

    def load(self, state: Tensor) -> None:
        self.progress, self.waiting, self.counted = float(state[0]), int(state[1]), None
