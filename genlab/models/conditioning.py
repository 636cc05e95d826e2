"""Classes as a conditional model takes them."""

import torch
import torch.nn.functional as F
from torch import Tensor

from genlab.data.spec import DataSpec
from genlab.errors import GenlabError


def num_classes_of(data: DataSpec, conditional: bool) -> int:
    """Number of classes that a model is told of: 0 unless conditional. Raises GenlabError where the data have none."""
    if conditional and data.num_classes is None:
        raise GenlabError(
            f"model.conditional=true needs labels, and dataset={data.name} has none; set model.conditional=false"
        )
    return (data.num_classes or 0) if conditional else 0


def wanted_classes(labels: list[int] | int, n: int, classes: int) -> Tensor:
    """One-hot classes (n, classes) of n samples that take the wanted `labels` in turns. Raises GenlabError for others."""
    wanted = [labels] if isinstance(labels, int) else list(labels)
    if not classes:
        raise GenlabError(f"labels={labels}: this model has no classes; train with model.conditional=true")
    if not wanted or not 0 <= min(wanted) <= max(wanted) < classes:
        raise GenlabError(f"labels={labels}: classes are 0 to {classes - 1}")
    return F.one_hot(torch.tensor(wanted).repeat(-(-n // len(wanted)))[:n], classes).float()
