"""Samples of a conditional model, a row for each class."""

import torch
from torch import Tensor

from genlab.data.spec import DataSpec
from genlab.plots import by_kind
from genlab.plots.images import Picture

MOST_ROWS = 20


def rows_by_class(x: Tensor, labels: Tensor | None, columns: int, data: DataSpec) -> Picture | None:
    """Samples x (n, *shape) of the classes `labels` (n,) in rows with the names of these; None where there are none, or too many.

    A row has as many as the class with the fewest samples, and `columns` at most.
    """
    if labels is None or not data.on_grid:
        return None
    present, counts = labels.unique(return_counts=True)
    if not 2 <= len(present) <= MOST_ROWS:
        return None
    each = min(columns, int(counts.min()))
    shown = torch.cat([x[(labels == k).to(x.device)][:each] for k in present])
    return by_kind.grid(shown, each, data, [data.names[k] for k in present.tolist()])
