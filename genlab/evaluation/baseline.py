"""The model that every other must surpass: components that are independent of each other, each with its marginal in the data."""

import math

import torch
from torch import Tensor

from genlab.data.dataset import Dataset
from genlab.data.examples import Examples
from genlab.data.subsets import at_most

MOST = 20_000  # training examples that are read where the data do not lie in memory


def training_examples(examples: Examples, most: int = MOST) -> Tensor:
    """Stored examples on the CPU: all that lie in memory, and `most` of those on disk (data/subsets.py)."""
    if isinstance(examples.x, Tensor):
        return examples.x.cpu()
    few = at_most(examples, most)
    return torch.cat([few.take(part).cpu() for part in torch.arange(len(few)).split(500)])


def independent_components(stored: Tensor, n: int) -> Tensor:
    """n stored examples, each component of which was taken from another training example drawn at random."""
    flat = stored.flatten(1)
    parts = []
    for size in [1000] * (n // 1000) + ([n % 1000] if n % 1000 else []):
        index = torch.randint(len(flat), (size, flat.shape[1]))
        parts.append(flat.gather(0, index))
    return torch.cat(parts).reshape(n, *stored.shape[1:])


def independent_log_likelihood(dataset: Dataset, x: Tensor, discrete: bool) -> Tensor | None:
    """log p(x) in nats, shape (n,), of the same model of the data in their representation; None where it is not defined.

    Bernoulli for binary components, a histogram (counts + 1) for grey levels, a normal distribution for real components.
    """
    data, represent = dataset.spec, dataset.represent
    x = x.cpu().flatten(1)
    if data.support == "binary":
        p = data.mean.flatten().double().clamp(1e-4, 1 - 1e-4)
        on = x.double()
        return (on * p.log() + (1 - on) * (1 - p).log()).sum(1)
    if represent.levels is not None and (discrete or represent.dequantize):
        levels = represent.levels
        stored = training_examples(dataset.train).flatten(1)
        scale = levels if represent.dequantize else levels - 1
        v = (x * scale).floor().long().clamp(0, levels - 1) if represent.dequantize else (x * scale).round().long()
        found = torch.zeros(len(x), dtype=torch.float64)
        for column in range(stored.shape[1]):
            counts = torch.bincount(stored[:, column].long(), minlength=levels).double() + 1
            found += (counts / counts.sum()).log()[v[:, column]]
        return found + (stored.shape[1] * math.log(levels) if represent.dequantize else 0.0)
    if data.support == "real":
        z = (x - data.mean.flatten()).double() / data.std.flatten().double().clamp_min(1e-12)
        scale_term = data.std.flatten().double().clamp_min(1e-12).log().sum() + 0.5 * data.dim * math.log(2 * math.pi)
        return -0.5 * z.square().sum(1) - scale_term
    return None
