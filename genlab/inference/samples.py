"""The record of generated examples, of a model or from elsewhere, which drawing fills in and every measure reads."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor


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

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """As files hold them: `samples`, and `chain_number` and `labels` where there are any."""
        named = {"samples": self.x, "chain_number": self.chain, "labels": self.labels}
        return {name: of.cpu().numpy() for name, of in named.items() if of is not None}
