"""The updates of one training, one after another, and all that they depend on.

Every process that takes part in a training makes the same updates. Each has the whole of the parameters, and its share of the
examples, of the random numbers, and of the persistent chains.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from genlab.data.batches import Batches
from genlab.data.dataset import Dataset
from genlab.models.base import Metrics, Model
from genlab.numerics import ranks, rng, shares
from genlab.numerics.rng import derive
from genlab.optimizers.recipe import set_rate
from genlab.training import sharding
from genlab.training.cuda_graphs import portable_state, updates_of
from genlab.training.devices import Device
from genlab.training.sections import TrainSection

SHOWING = {"eval", "sample", "checkpoint"}
"""What needs the state of all chains."""


class Updates:
    """Those of `model` on `dataset`, both on the device already, for `examples` examples."""

    def __init__(
        self, model: Model, dataset: Dataset, train: TrainSection, device: Device, examples: int, seed: int
    ) -> None:
        self.model, self.device, self.seed, self.turns = model, device, seed, train.accumulate
        self.where = device.resolve()
        self.batches = Batches(
            dataset.train,
            dataset.represent,
            batch_size=train.batch_size,
            examples=examples,
            seed=seed,
            device=self.where,
            cut_last=model.closed_form,
            labelled_beside=model.labelled_beside,
        )
        self.window: list[Metrics] = []
        """What the updates since the last record yielded."""
        self._of_all = 0
        """So many of them, the first ones, are means over all processes already."""
        self.trained = model
        """What the updates move: the model, or this process's part of a copy of it (sharding.py)."""
        self._loop: Iterator[Metrics] | None = None
        self._whole_state: dict[str, Any] | None = None

    def next(self) -> Metrics | None:
        """One update, in the precision of the device; None at the end of the training loop."""
        with shares.dealt(self.turns), self.device.autocast():
            if self._loop is None:
                if self.shards:
                    self.trained = sharding.sharded(self.model)
                    for optimizer in self.model.optimizers.values():
                        optimizer.state.clear()
                self._loop = updates_of(self.trained, self.batches, self.device)
            if shares.processes() > 1:  # its own stream of random numbers, which no other number of processes changes
                torch.manual_seed(derive(self.seed, "update", ranks.rank(), self.batches.seen))
            found = [metrics for _ in range(self.turns) if (metrics := next(self._loop, None)) is not None]
            if self.shards:
                for name in self.trained.optimizers:
                    self.trained.gradient_norms[name] = sharding.full(self.trained.gradient_norm(name))
        if len(found) < 2:
            return found[0] if found else None
        return {name: torch.stack([metrics[name] for metrics in found]).mean() for name in found[0]}

    def set_rates(self) -> None:
        """The learning rates at the present share of the training."""
        for optimizer in self.trained.optimizers.values():
            set_rate(optimizer, self.batches.progress)

    @property
    def shards(self) -> bool:
        """Whether each process keeps a part of the parameters only."""
        return self.device.shard and ranks.world() > 1

    def shows(self, due: set[str]) -> bool:
        """Whether what is due needs the model as a whole."""
        return bool(due if self.shards else due & SHOWING)

    def means(self) -> dict[str, float]:
        """Name -> mean over the updates since the last record, and over all processes; the next record begins."""
        self._average_window()
        values = torch.stack([torch.stack([m[name].float() for m in self.window]).mean() for name in self.window[0]])
        names = list(self.window[0])
        self.window.clear()
        self._of_all = 0
        return {name: float(value) for name, value in zip(names, values.unbind(), strict=True)}

    def _average_window(self) -> None:
        """What each update yielded becomes its mean over all processes.

        Each update is averaged once and on its own, so a checkpoint between two records does not change the last digit.
        """
        new = self.window[self._of_all :]
        if ranks.world() > 1 and new:
            values = torch.stack([torch.stack([m[name].float() for name in new[0]]) for m in new])
            values = ranks.add_up(values) / ranks.world()
            self.window[self._of_all :] = [dict(zip(new[0], row.unbind(), strict=True)) for row in values.unbind()]
            self._of_all = len(self.window)

    def collect(self, saves: bool) -> None:
        """This process has the newest of all parameters and chains, also of those that other processes move.

        Where it `saves` them in a checkpoint, it has the state of the optimizers and what all updates yielded, too.
        """
        with shares.dealt():
            shares.collect(self.trained)
        if saves:
            self._average_window()
        if self.trained is not self.model:
            sharding.gather(self.trained, self.model)
            self._whole_state = self._optimizers() if saves else None

    def _optimizers(self) -> dict[str, Any]:
        return {name: sharding.full(portable_state(one)) for name, one in self.trained.optimizers.items()}

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds beside the model."""
        return {
            "optimizers": self._whole_state or self._optimizers(),
            "batches": self.batches.state_dict(),
            "random": rng.get_state(self.where),
            "window": [{k: v.cpu() for k, v in m.items()} for m in self.window],
            "gradient_norms": {name: float(self.trained.gradient_norm(name)) for name in self.trained.optimizers},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a checkpoint, the model included."""
        self.model.load_state_dict(state["model"])
        for name, optimizer in self.model.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.batches.load_state_dict(state["batches"])
        rng.set_state(state["random"], self.where)
        self.window = [{k: v.to(self.where) for k, v in m.items()} for m in state["window"]]
        self._of_all = len(self.window)
        self.model.gradient_norms = {name: torch.tensor(float(n)) for name, n in state["gradient_norms"].items()}
