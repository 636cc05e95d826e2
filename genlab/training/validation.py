"""What a trainer measures of a model between two updates. The training's random stream stays as it is."""

import torch
from torch import Tensor

from genlab.data.batches import in_order
from genlab.data.dataset import Dataset
from genlab.data.examples import Examples
from genlab.data.subsets import batch_of
from genlab.models.abilities import Monitors
from genlab.models.base import Model, evaluation_mode
from genlab.models.contract import check_measures
from genlab.numerics import rng
from genlab.tracking.progress import tracked

EVALUATION_BATCH = 500
MONITORED = 500  # examples of each split from which the state of a model is computed


def evaluate_split(
    model: Model, dataset: Dataset, split: Examples, seed: int, where: torch.device, title: str = "test split"
) -> dict[str, tuple[float, float]]:
    """Mean and standard error over the examples of `split` of everything that the family measures."""
    collected: dict[str, list[Tensor]] = {}
    with evaluation_mode(model), rng.seeded(seed, "evaluate", device=where):
        batches = in_order(split, dataset.represent, batch_size=EVALUATION_BATCH, device=where)
        for batch in tracked(batches, title, -(-len(split) // EVALUATION_BATCH)):
            measures = model.evaluate(batch)
            check_measures(model, measures, len(batch.x))
            for name, values in measures.items():
                collected.setdefault(name, []).append(values.detach())
    results = {}
    for name, parts in collected.items():
        values = torch.cat(parts).double() if where.type != "mps" else torch.cat(parts).cpu().double()
        stderr = float(values.std() / len(values) ** 0.5) if len(values) > 1 else float("nan")
        results[name] = (float(values.mean()), stderr)
    return results


def monitor_state(model: Model, dataset: Dataset, seed: int, where: torch.device) -> dict[str, float]:
    """'monitor/...': state of the model (abilities.Monitors), from some examples of the training and the validation split.

    Empty where the family has none to report.
    """
    if not isinstance(model, Monitors):
        return {}

    def few(split: Examples) -> Tensor:
        return batch_of(split, MONITORED, dataset.represent, where).x

    with evaluation_mode(model), rng.seeded(seed, "monitor", device=where):
        held_out = None if dataset.validation is None else few(dataset.validation)
        found = model.monitor(few(dataset.train), held_out)
    return {f"monitor/{name}": float(value) for name, value in found.items()}


def state_of_optimizers(model: Model) -> dict[str, float]:
    """Rate and norm of the last gradient of each."""
    values = {}
    for name, optimizer in model.optimizers.items():
        values[f"optimizer/{name}/learning_rate"] = float(optimizer.param_groups[0]["lr"])
        values[f"optimizer/{name}/gradient_norm"] = float(model.gradient_norm(name))
    return values
