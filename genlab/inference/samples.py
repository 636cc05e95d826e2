"""The record of generated examples, of a model or from elsewhere, which drawing fills in and every measure reads."""

import contextlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from genlab.data.spec import DataSpec


@dataclass(frozen=True)
class Samples:
    x: Tensor
    """(n, *shape), on the CPU."""
    chain: Tensor | None = None
    """Number of the Markov chain of which each is a state, int64, (n,): those of one chain are correlated, and errors take a
    chain as one block. None where all samples are independent."""
    labels: Tensor | None = None
    """Class from which each is drawn, int64, (n,); None without classes."""

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, which: slice | Tensor) -> "Samples":
        chain, labels = (None if of is None else of[which] for of in (self.chain, self.labels))
        return Samples(self.x[which], chain, labels)

    @property
    def chains(self) -> int | None:
        """Number of chains; None where all samples are independent."""
        return None if self.chain is None else len(self.chain.unique())

    def arrays(self, data: DataSpec) -> dict[str, npt.NDArray[np.generic]]:
        """As files hold them: `samples` in the units of the user, and `chain_number` and `labels` where there are any.

        Labels are what the user calls the classes of `data`: whole numbers where all names are, and else text.
        """
        found: dict[str, npt.NDArray[np.generic]] = {"samples": data.in_units(self.x).cpu().numpy()}
        if self.chain is not None:
            found["chain_number"] = self.chain.cpu().numpy()
        if self.labels is not None:
            found["labels"] = named_labels(self.labels, data)
        return found


def named_labels(labels: Tensor, data: DataSpec) -> npt.NDArray[np.generic]:
    """Classes (n,) as the user calls them."""
    if data.class_names is None:
        found: npt.NDArray[np.generic] = labels.cpu().numpy()
        return found
    names: npt.NDArray[Any] = np.array(data.class_names)
    with contextlib.suppress(ValueError):
        names = np.array([int(name) for name in data.class_names])
    chosen: npt.NDArray[np.generic] = names[labels.cpu().numpy()]
    return chosen
