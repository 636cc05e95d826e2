"""Thermodynamics from configurations: means and fluctuations of observables, with errors that take correlations into account.

With N sites at the temperature T,

    energy e = <E>/N                  specific heat c = N (<e^2> - <e>^2)/T^2
    magnetisation <|m|>               susceptibility chi = N (<m^2> - <|m|>^2)/T
    correlation G(r) = <s_x s_(x+r)>  Binder cumulant U = 1 - <m^4>/(3 <m^2>^2)

All are functions of means, so their errors come from a jackknife: the same functions of the means over all but one of B blocks,
in the order in which configurations came (Quenouille 1956). A block is five integrated autocorrelation times of that order long,
so that blocks are independent of each other even where configurations are states of a chain (Flyvbjerg & Petersen 1989). Of a
short chain tau is found too small and blocks are few, so that the errors are too small: see SHORT. Of configurations that are
known to come from several chains, each chain is a block.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from genlab.lattice.observables import ALLOWED
from genlab.metrics.clusters import Chain, totals
from genlab.metrics.convergence import autocorrelation_time
from genlab.metrics.estimate import Estimate

BLOCK = 5.0  # integrated autocorrelation times
FEWEST = 10  # blocks, however long the correlations
INDEPENDENT = 1.1  # autocorrelation times below this one are noise
SHORT = 100.0
"""Measured autocorrelation times below which errors are too small. On autoregressive chains of 10, 30, 60 and 100 times, two
standard errors cover 83, 91, 93 and 94 % for a mean, and 78, 85, 89 and 91 % for a variance. Of the shortest, tau is found half
as long as it is.
"""

Means = dict[str, Tensor]
"""Name -> mean over configurations; (..., k) for k numbers each."""


def primitives(s: Tensor, names: Sequence[str]) -> Means:
    """What each of the configurations s (n, H, W) contributes to the means: (n,) or (n, k) each."""
    found: Means = {}
    for name in names:
        values = ALLOWED[name](s)
        found[name] = values
        if name == "energy":
            found["energy^2"] = values.square()
        if name == "magnetisation":
            found |= {"|m|": values.abs(), "m^2": values.square(), "m^4": values**4}
    return found


def derived(means: Means, sites: int, temperature: float | None) -> Means:
    """The quantities of the table above, from means (...) or (..., k). Without T those that need it are left out."""
    found: Means = {}
    if "energy" in means:
        found["energy"] = means["energy"]
        if temperature is not None:
            found["specific_heat"] = sites * (means["energy^2"] - means["energy"].square()) / temperature**2
    if "magnetisation" in means:
        found["magnetisation"] = means["|m|"]
        if temperature is not None:
            found["susceptibility"] = sites * (means["m^2"] - means["|m|"].square()) / temperature
        found["binder"] = 1 - means["m^4"] / (3 * means["m^2"].square())
    if "correlation" in means:
        reach = means["correlation"].shape[-1]
        for r in dict.fromkeys((1, max(1, reach // 2), reach)):
            found[f"correlation_{r}"] = means["correlation"][..., r - 1]
    return found


def thermodynamics(
    s: Tensor, names: Sequence[str], temperature: float | None, chain: Chain = None
) -> dict[str, Estimate]:
    """Every quantity that follows from the observables `names` of configurations s (n, H, W), in their order or in chains."""
    values = primitives(s, names)
    sites = s.shape[-1] * s.shape[-2]
    return jackknife(lambda means: derived(means, sites, temperature), values, blocks_of(values, chain))


def correlations(s: Tensor, chain: Chain = None) -> tuple[Tensor, Tensor]:
    """G(r) for r = 1, 2, ..., and its standard errors: (reach,), (reach,)."""
    values = primitives(s, ["correlation"])
    reach = values["correlation"].shape[1]
    found = jackknife(
        lambda means: {str(r): means["correlation"][..., r] for r in range(reach)}, values, blocks_of(values, chain)
    )
    both = torch.tensor([[found[str(r)].value, found[str(r)].stderr] for r in range(reach)], dtype=torch.float64)
    return both[:, 0], both[:, 1]


def blocks_of(values: Means, chain: Chain = None) -> Chain:
    """The block of each of n configurations, (n,); None where each is one."""
    if chain is not None:
        return chain
    n, length = len(next(iter(values.values()))), block_length(values)
    # What is left over belongs to the last whole block.
    return None if length == 1 else (torch.arange(n) // length).clamp_max(n // length - 1)


def block_length(values: Means) -> int:
    """Length of a jackknife block: BLOCK times the longest tau of the series, but with at least FEWEST blocks."""
    n, tau = len(next(iter(values.values()))), longest_time(values)
    length = 1 if tau < INDEPENDENT else math.ceil(BLOCK * tau)
    return max(1, min(length, n // FEWEST))


def longest_time(values: Means) -> float:
    """The longest integrated autocorrelation time of the series, in configurations; 1 where they are independent."""
    series = [one if one.ndim == 1 else one[:, 0] for name, one in values.items() if not name.endswith(("2", "4"))]
    return max(autocorrelation_time(one.unsqueeze(0)) for one in series)


def too_short(s: Tensor, names: Sequence[str]) -> float | None:
    """Length of configurations s (n, H, W) in their autocorrelation times, where they are correlated and it is below SHORT."""
    tau = longest_time(primitives(s, [name for name in names if name != "correlation"] or names))
    return len(s) / tau if tau >= INDEPENDENT and len(s) < SHORT * tau else None


def jackknife(statistics: Callable[[Means], Means], values: Means, block: Chain) -> dict[str, Estimate]:
    """`statistics` of the means of `values` (n, ...), with errors from leaving out one block at a time.

    `block` (n,) is the block of each row, None where each is one. Blocks may have unequal sizes (Busing et al. 1999).
    """
    whole = statistics({name: one.mean(0) for name, one in values.items()})
    sums = {name: totals(one, block) for name, one in values.items()}
    sizes = next(iter(sums.values()))[1]
    n, blocks = int(sizes.sum()), len(sizes)
    if blocks < 2:
        return {name: Estimate(float(value), math.nan) for name, value in whole.items()}
    left = n - sizes
    replicates = statistics(
        {name: (sum_.sum(0) - sum_) / left.view(-1, *[1] * (sum_.ndim - 1)) for name, (sum_, _) in sums.items()}
    )
    found = {}
    for name, value in whole.items():
        # Pseudo-values h x - (h - 1) x_left, h = n/size, scatter with the variance (h - 1) V.
        off = (value - replicates[name]) * (n / sizes - 1)
        centred = off - (off * sizes / n).sum()
        error = math.sqrt(float((centred.square() / (n / sizes - 1)).sum()) / blocks)
        found[name] = Estimate(float(value), error)
    return found
