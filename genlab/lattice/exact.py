"""The two-dimensional Ising model exactly: E(s) = -sum_<ij> s_i s_j over the bonds of a periodic L x L lattice, k_B = 1.

Kaufman (1949) gives the partition function of the torus for every L, with K = 1/T and N = L^2:

    Z = 1/2 (2 sinh 2K)^(N/2) [prod 2 cosh(L g_odd/2) + prod 2 sinh(L g_odd/2)
                               + prod 2 cosh(L g_even/2) + prod 2 sinh(L g_even/2)]
    cosh g_l = cosh 2K coth 2K - cos(pi l/L),   g_0 = 2K + ln tanh K,

over odd l = 1, 3, ... and even l = 0, 2, ... below 2L. g_0 changes sign at T_c, and with it the last product. Energy and
specific heat are its derivatives, here by automatic differentiation:

    E = -d ln Z/dK,   C = K^2 d^2 ln Z/dK^2,   S = ln Z + K E.

The infinite lattice (Onsager 1944; Yang 1952) has u = -coth 2K [1 + (2/pi)(2 tanh^2 2K - 1) K(k)], k = 2 sinh 2K/cosh^2 2K, and
below T_c = 2/ln(1 + sqrt 2) |m| = (1 - sinh^-4 2K)^(1/8). A lattice of 4 x 4 sites can be enumerated, which gives all else.
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from scipy.special import ellipkm1
from torch import Tensor

T_CRITICAL = 2 / math.log(1 + math.sqrt(2))
MOST_SITES = 16  # 65,536 configurations are enumerated in a moment


@dataclass(frozen=True)
class Thermodynamics:
    """Of the torus of `side` x `side` sites at one temperature; energy and specific heat per site, entropy of the whole."""

    side: int
    temperature: float
    log_z: float
    energy: float
    specific_heat: float

    @property
    def entropy(self) -> float:
        """In nats."""
        return self.log_z + self.side**2 * self.energy / self.temperature


def kaufman_log_z(side: int, K: Tensor) -> Tensor:
    """ln Z of the torus at the coupling K, a scalar tensor in float64, differentiable."""
    ratio = torch.cosh(2 * K) ** 2 / torch.sinh(2 * K)
    odd = torch.acosh(ratio - torch.cos(math.pi / side * torch.arange(1, 2 * side, 2, dtype=torch.float64)))
    rest = torch.acosh(ratio - torch.cos(math.pi / side * torch.arange(2, 2 * side, 2, dtype=torch.float64)))
    signed = side / 2 * (2 * K + torch.log(torch.tanh(K)))
    odd, rest = side * odd / 2, side * rest / 2
    # Each product against the first, so that nothing overflows; the last one passes through 0 at T_c.
    to_even = (_log_cosh(signed) + _log_cosh(rest).sum() - _log_cosh(odd).sum()).exp()
    sinh_odd, sinh_even = torch.tanh(odd).log().sum().exp(), torch.tanh(signed) * torch.tanh(rest).log().sum().exp()
    terms = 1 + sinh_odd + to_even * (1 + sinh_even)
    first = side * math.log(2) + _log_cosh(odd).sum()
    return -math.log(2) + side**2 / 2 * torch.log(2 * torch.sinh(2 * K)) + first + torch.log(terms)


def _log_cosh(x: Tensor) -> Tensor:
    return torch.logaddexp(x, -x) - math.log(2)  # smooth at 0, where g_0 is at T_c


@lru_cache(maxsize=1024)
def thermodynamics(side: int, temperature: float) -> Thermodynamics:
    """Kaufman's formula and its derivatives."""
    K = torch.tensor(1 / temperature, dtype=torch.float64, requires_grad=True)
    log_z = kaufman_log_z(side, K)
    (first,) = torch.autograd.grad(log_z, K, create_graph=True)
    (second,) = torch.autograd.grad(first, K)
    sites = side**2
    heat = float(second.detach()) / temperature**2 / sites
    return Thermodynamics(side, temperature, float(log_z.detach()), -float(first.detach()) / sites, heat)


def onsager_energy(temperature: float) -> float:
    """u per site of the infinite lattice."""
    K = 1 / temperature
    complement = ((1 - math.sinh(2 * K) ** 2) / math.cosh(2 * K) ** 2) ** 2  # 1 - k^2
    bracket = 1.0
    if complement > 0:  # at T_c the factor before K(k) is 0
        bracket += 2 / math.pi * (2 * math.tanh(2 * K) ** 2 - 1) * float(ellipkm1(complement))
    return -bracket / math.tanh(2 * K)


def onsager_magnetisation(temperature: float) -> float:
    """|m| of the infinite lattice."""
    if temperature >= T_CRITICAL:
        return 0.0
    return float((1 - math.sinh(2 / temperature) ** -4) ** 0.125)


class Enumeration:
    """Every configuration of a small lattice: spins (2^N, L, L) of -1 and +1, float32."""

    def __init__(self, side: int) -> None:
        assert side**2 <= MOST_SITES, "2^N configurations must fit memory"
        self.side = side

    @cached_property
    def spins(self) -> Tensor:
        sites = self.side**2
        bits = torch.arange(2**sites).unsqueeze(1) >> torch.arange(sites) & 1
        return (2 * bits - 1).float().view(-1, self.side, self.side)

    @cached_property
    def energies(self) -> Tensor:
        """E of each, float64, (2^N,)."""
        s = self.spins.double()
        return -(s * (s.roll(1, 1) + s.roll(1, 2))).sum((1, 2))

    def log_p(self, temperature: float) -> Tensor:
        """log p of each at a temperature, float64, (2^N,)."""
        return torch.log_softmax(-self.energies / temperature, 0)

    def mean(self, temperature: float, values: Tensor) -> Tensor:
        """Expectation of `values` (2^N, ...) at a temperature, float64, (...)."""
        p = self.log_p(temperature).exp()
        found: Tensor = torch.tensordot(p, values.double(), dims=1)
        return found
