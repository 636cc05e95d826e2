"""log p(x) of held-out data by every means that a family has, each with its kind.

exact         log p(x) itself
lower bound   E_q[log w] (the ELBO) and the importance-weighted bound L_k = E log (1/k) sum_i w_i with w = p(x, h)/q(h|x) and
              h ~ q(h|x) (Burda et al. 2016): L_1 = ELBO <= L_k <= L_(k+1) <= log p(x)
              the mean over draws in the cell of a grey level of the log of a density of grey levels as real numbers (Theis et
              al. 2016)
estimate      unbiased or consistent, on either side of the truth: -F(x) - log Z with an estimated log Z (partition.py), or, in
              the plane, with log Z summed over a grid of points (plane_grid.py)

Kinds are not comparable with each other: a bound may lie far below the likelihood that it bounds.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from genlab.data.batches import Batch
from genlab.data.representation import Representation
from genlab.data.spec import DataSpec
from genlab.data.subsets import belongs
from genlab.inference.annealing_effort import anneal_both_ways
from genlab.inference.partition import Annealing, LogZ, exact_log_z
from genlab.inference.plane_grid import grid_log_z, is_plane
from genlab.metrics.estimate import Estimate
from genlab.models.abilities import (
    Anneals,
    Dequantises,
    Enumerates,
    HasFreeEnergy,
    HasLogBound,
    HasLogProb,
    HasLogWeights,
    HasProbabilityFlow,
    HasTemperature,
)
from genlab.models.base import Model
from genlab.tracking.progress import step

LikelihoodKind = Literal["exact", "lower bound", "estimate"]

LIKELIHOODS = (HasLogProb, HasLogWeights, HasLogBound, HasFreeEnergy, HasProbabilityFlow)
"""The abilities of which each gives a likelihood."""

# Decoder evaluations at a time. On a CPU so few that their results stay in its cache: three times as fast as blocks of 2^14.
# An accelerator needs large blocks.
ROWS = {"cpu": 2**8}
MOST_ROWS = 2**14
LEAST_INTEGRATED, MOST_INTEGRATED = (
    64,
    100_000,
)  # examples, and components of all of them, for which a flow is integrated
AT_ONCE = 500  # examples for which a flow is integrated together
FEWEST = 16  # examples at a time, so that the encoder has something to do


@dataclass(frozen=True)
class LogLikelihood:
    name: str
    """Short name for tables: exact, elbo, iw_100, ..."""
    kind: LikelihoodKind
    method: str
    """The method in words."""
    values: Tensor
    """Nats per example, float64, shape (n,)."""
    common_stderr: float = 0.0
    """Standard error that all examples share, such as that of an estimated log Z."""
    facts: dict[str, Any] = field(default_factory=dict)
    """More about the method: log Z, its error, the effective number of chains."""
    index: Tensor | None = None
    """Places of the examples that were measured, int64, (n,); None for all of them."""

    @property
    def mean(self) -> Estimate:
        own = float(self.values.std()) / len(self.values) ** 0.5
        return Estimate(float(self.values.mean()), math.hypot(own, self.common_stderr))

    def of_same(self, values: Tensor) -> Tensor:
        """Those of `values`, one for each example of the split, that belong to the examples measured."""
        return values if self.index is None else values[self.index]


@torch.no_grad()
def log_likelihoods(
    model: Model,
    batches: Iterable[Batch],
    k: int,
    annealing: Annealing,
    train: Tensor,
    of: int | None = None,
) -> list[LogLikelihood]:
    """Every likelihood that `model` has, of the data in `batches`. `of` is the number of their examples, which a flow must know.

    `k` draws for the importance-weighted bound; log Z of a free energy by enumeration or as `annealing` says, its reverse
    chains starting from the examples `train`.
    """
    found: list[LogLikelihood] = []
    parts: dict[str, list[Tensor]] = {}
    energies: list[Tensor] = []
    for_flow: list[Tensor] = []
    integrated, seen = torch.zeros(0, dtype=torch.bool), 0
    if isinstance(model, HasProbabilityFlow):
        assert of is not None
        integrated = belongs(of, most_integrated(model.data.dim))
    weighs = isinstance(model, HasLogWeights)
    dequantises = isinstance(model, Dequantises) and model.dequantises
    with step(f"likelihood, {k:,} draws" if weighs else "likelihood", of, "examples") as doing:
        for batch in batches:
            if isinstance(model, HasLogProb):
                parts.setdefault("bound" if dequantises else "exact", []).append(model.log_prob(batch.x))
            if isinstance(model, HasLogWeights):
                elbo, bound = importance_weighted(model, batch.x, k, doing.advance)
                parts.setdefault("elbo", []).append(elbo)
                parts.setdefault(f"iw_{k}", []).append(bound)
            if isinstance(model, HasLogBound):
                parts.setdefault("bound", []).append(model.log_bound(batch.x))
            if isinstance(model, HasProbabilityFlow):
                for_flow.append(batch.x[integrated[seen : seen + len(batch.x)].to(batch.x.device)])
            if isinstance(model, HasFreeEnergy):
                energies.append(model.free_energy(batch.x))
            seen += len(batch.x)
            if not weighs:
                doing.advance(len(batch.x))
    methods: dict[str, tuple[LikelihoodKind, str]] = {
        "exact": ("exact", "log p(x) in closed form"),
        "elbo": ("lower bound", f"evidence lower bound, {k} draws an example"),
        f"iw_{k}": ("lower bound", f"importance-weighted bound with k = {k}"),
        "bound": ("lower bound", "variational bound of the family"),
    }
    if dequantises:
        methods["bound"] = (
            "lower bound",
            "log p(x) of grey levels as real numbers, one draw of the noise in their cells",
        )
    if isinstance(model, HasProbabilityFlow) and for_flow:
        flow = [model.flow_log_prob(few) for few in torch.cat(for_flow).split(AT_ONCE)]
        if known := [log_p for log_p in flow if log_p is not None]:
            drawn = f"{sum(map(len, known)):,} test examples drawn at random"
            methods["flow"] = ("estimate", f"differential equation, {drawn}")
            if model.data.levels is not None:
                methods["flow"] = ("lower bound", f"differential equation of dequantised grey levels, {drawn}")
            parts["flow"] = known
    for name, values in parts.items():
        kind, method = methods[name]
        index = integrated.nonzero().squeeze(1) if name == "flow" else None
        found.append(LogLikelihood(name, kind, method, torch.cat(values).cpu().double(), index=index))
    if energies:
        found += _normalised(model, torch.cat(energies).cpu().double(), annealing, train)
    return found


def most_integrated(dim: int) -> int:
    """Examples of so many components for which a differential equation is integrated: a hundred passes of a network each."""
    return max(LEAST_INTEGRATED, MOST_INTEGRATED // dim)


def _normalised(model: Model, energies: Tensor, annealing: Annealing, train: Tensor) -> list[LogLikelihood]:
    """-F(x) - log Z, with log Z summed exactly where it can be and else estimated: on a lattice, or from both sides."""
    if isinstance(model, HasTemperature) and model.temperature != 1:
        return []
    if isinstance(model, Enumerates):
        log_z = exact_log_z(model)
        if log_z is not None:
            method = "free energy, and log Z summed over all configurations of one layer"
            return [LogLikelihood("exact", "exact", method, -energies - log_z, facts={"log_z": log_z})]
    if isinstance(model, HasFreeEnergy) and is_plane(model.data):
        found = grid_log_z(model)
        method = f"free energy, and log Z summed over a lattice of {found.side}x{found.side} points"
        facts = {"log_z": found.value, "log_z_error": found.error, "log_z_outside_data": found.outside}
        return [LogLikelihood("grid", "estimate", method, -energies - found.value, found.error, facts)]
    if not isinstance(model, Anneals):
        return []
    few = train.repeat(-(-annealing.chains // len(train)), *[1] * (train.ndim - 1))[: annealing.chains]
    error = float(energies.std()) / len(energies) ** 0.5
    annealing, forward, reverse = anneal_both_ways(model, annealing, few, error)
    how = f"{annealing.chains} chains, {annealing.temperatures:,} temperatures ({annealing.schedule})"
    settled = (
        f"from training examples after {annealing.sweeps:,} sweeps; no bound where these are no draws of the model"
    )
    return [
        _with_log_z("ais", f"annealed importance sampling, {how}; flatters on average", energies, forward),
        _with_log_z("reverse_ais", f"the same in reverse, {how}, {settled}", energies, reverse),
    ]


def _with_log_z(name: str, method: str, energies: Tensor, log_z: LogZ) -> LogLikelihood:
    spread = 3 * log_z.stderr
    facts = {
        "log_z": log_z.value,
        "log_z_stderr": log_z.stderr,
        "log_z_interval": [log_z.value - spread, log_z.value + spread],
        "effective_chains": log_z.ess,
    }
    return LogLikelihood(name, "estimate", method, -energies - log_z.value, log_z.stderr, facts)


def importance_weighted(
    model: HasLogWeights, x: Tensor, k: int, advance: Callable[[int], object] | None = None
) -> tuple[Tensor, Tensor]:
    """Mean of log w, and log of the mean of w, over k draws for each of x: (n,), (n,), in nats.

    Memory is bounded whatever k: blocks of draws of a few examples, their sums kept in float64. `advance` is called with the
    number of examples that are done.
    """
    rows = ROWS.get(x.device.type, MOST_ROWS)
    parts = []
    for few in x.split(max(FEWEST, rows // k)):
        total = torch.zeros(len(few), dtype=torch.float64)
        log_sum = torch.full((len(few),), -torch.inf, dtype=torch.float64)
        most = max(1, rows // len(few))
        for start in range(0, k, most):
            log_w = model.log_weights(few, min(most, k - start)).cpu().double()
            total += log_w.sum(0)
            log_sum = torch.logaddexp(log_sum, log_w.logsumexp(0))
        parts.append(torch.stack([total / k, log_sum - math.log(k)]))
        if advance is not None:
            advance(len(few))
    elbo, bound = torch.cat(parts, 1)
    return elbo, bound


def bits_per_dimension(nats: Estimate, data: DataSpec, represent: Representation) -> Estimate:
    """-log2 p(x) for each of the D components. For dequantised grey values it bounds that of the integer levels themselves."""
    per_dim = 1 / (data.dim * math.log(2))
    value = -nats.value * per_dim
    if represent.dequantize and represent.levels is not None:
        value += math.log2(represent.levels)
    return Estimate(value, nats.stderr * per_dim)


def representation(data: DataSpec, represent: Representation) -> str:
    """In which form the model saw the data."""
    pixels = "pixels" if data.is_image else "components"
    if represent.binarize == "dynamic":
        return f"binary {pixels}, drawn from the grey values (dynamic binarisation; one draw for the test)"
    if represent.binarize == "threshold":
        return f"binary {pixels}, grey values above 1/2"
    if data.support == "binary":
        return f"binary {pixels}, as they are stored"
    if represent.dequantize:
        return f"grey values of {represent.levels} levels, dequantised by uniform noise"
    if data.units is not None and data.support == "real":
        return f"continuous {pixels}, standardised"
    if data.units is not None:
        low, high = (float(data.in_units(torch.tensor(value)).flatten()[0]) for value in (0.0, 1.0))
        return f"continuous {pixels}, values {low:g} to {high:g} as 0 to 1"
    return f"{pixels} of {data.levels} grey levels, not dequantised" if data.levels else f"continuous {pixels}"


def has_likelihood(model: object) -> bool:
    """Whether there is a likelihood of any kind."""
    return isinstance(model, LIKELIHOODS)


def describe(data: DataSpec, represent: Representation, model: Model) -> str:
    """What the model's likelihood is a likelihood of. Two likelihoods compare only where this text is the same."""
    seen = representation(data, represent)
    if not isinstance(model, LIKELIHOODS):
        return f"none; the model saw {seen}"
    return f"{'probability' if model.discrete else 'density'} of {seen}"
