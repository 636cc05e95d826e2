"""Classes as a conditional model takes them."""

import torch
import torch.nn.functional as F
from torch import Tensor

from genlab.data.labels import LABELS
from genlab.data.spec import DataSpec
from genlab.errors import GenlabError


def num_classes_of(data: DataSpec, conditional: bool) -> int:
    """Number of classes that a model is conditioned on: 0 unless `conditional`. Raises GenlabError where the data have none."""
    if conditional and data.num_classes is None:
        also = f", or {LABELS[data.name]}" if data.name in LABELS else ""
        raise GenlabError(
            f"model.conditional=true needs labels, and dataset={data.name} has none; set model.conditional=false{also}"
        )
    return (data.num_classes or 0) if conditional else 0


def one_hot(y: Tensor | None, num_classes: int) -> Tensor | None:
    """Classes y (n,) as a network takes them, (n, num_classes); None for an unconditional model, and where y is None."""
    return F.one_hot(y, num_classes).float() if num_classes and y is not None else None


def requested_classes(labels: list[int] | int, n: int, num_classes: int) -> Tensor:
    """One-hot classes (n, num_classes) of n samples that take `labels` in turns.

    Raises GenlabError for labels that are no classes of the model.
    """
    wanted = [labels] if isinstance(labels, int) else list(labels)
    if not num_classes:
        raise GenlabError(f"labels={labels}: this model has no classes; train with model.conditional=true")
    if not wanted or not 0 <= min(wanted) <= max(wanted) < num_classes:
        raise GenlabError(f"labels={labels}: classes are 0 to {num_classes - 1}")
    return F.one_hot(torch.tensor(wanted).repeat(-(-n // len(wanted)))[:n], num_classes).float()


def classes_to_sample(labels: list[int] | int | None, n: int, num_classes: int, device: torch.device) -> Tensor | None:
    """`requested_classes`, or all classes in turns where `labels` is None; None for an unconditional model."""
    if labels is None and not num_classes:
        return None
    return requested_classes(list(range(num_classes)) if labels is None else labels, n, num_classes).to(device)
