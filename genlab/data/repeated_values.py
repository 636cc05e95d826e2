"""Components of real data that repeat their values: integers, rounded measurements, constants.

A density may become ever narrower around a value that repeats. So the likelihood of a model that learns its widths has no bound.
"""

import torch

from genlab.data.dataset import Dataset
from genlab.data.subsets import at_most

MOST_EXAMPLES = 2_000
MOST_NUMBERS = 2**22
FEW = 5  # examples for each different value, from which a component is said to repeat itself
MOST_NAMED = 3


def warning_of_repeated_values(dataset: Dataset) -> str | None:
    """A line that names components with few different values in the training split; None where there are none."""
    data = dataset.spec
    if data.support != "real":
        return None
    few = at_most(dataset.train, max(2, min(MOST_EXAMPLES, MOST_NUMBERS // data.dim)))
    x = few.take(torch.arange(len(few))).flatten(1).sort(0).values
    different = 1 + (x[1:] != x[:-1]).sum(0)
    repeated = (different * FEW <= len(x)).nonzero().flatten().tolist()
    if not repeated:
        return None
    names = data.component_names or tuple(f"component {i}" for i in range(data.dim))
    shown = [f"{names[i]} ({int(different[i])} different values)" for i in repeated[:MOST_NAMED]]
    more = len(repeated) - len(shown)
    listed = ", ".join(shown) + (f" and {more:,} more" if more else "")
    remedy = "leave them out with dataset.columns" if data.component_names else "leave them out of the data"
    return (
        f"dataset={data.name} repeats values in {listed}, of {len(x):,} examples; a density may be ever narrower around each of "
        f"them, so log p(x) has no bound: {remedy}"
    )
