"""Convergence of Markov chains, from one observable of each state."""

import torch
from torch import Tensor


def r_hat(x: Tensor) -> float:
    """Gelman & Rubin (1992): sqrt of the variance over all chains by the mean variance within one; x is (chains, steps).

    1 for chains that have forgotten where they started; nan where nothing moves.
    """
    chains, steps = x.shape
    assert chains > 1, "chains are compared with each other"
    x = x.double()
    within = x.var(1).mean()
    between = x.mean(1).var()
    if not float(within) > 0:
        return 1.0 if float(between) == 0 else float("inf")
    return float(((steps - 1) / steps + between / within) ** 0.5)


def autocorrelation_time(x: Tensor, window: float = 5.0) -> float:
    """Integrated autocorrelation time 1 + 2 sum_t rho(t) in steps, of chains (chains, steps); 1 for independent states.

    rho is taken about the mean over all chains and summed up to the first t of `window` times the sum so far (Sokal 1997).
    For chains that are shorter than their autocorrelation time, or differ in their means, the result is about their length.
    """
    x = x.double() - x.double().mean()
    steps = x.shape[1]
    variance = x.square().mean()
    if float(variance) == 0:
        return 1.0
    size = 2 * steps
    power = torch.fft.rfft(x, size).abs().square()
    lags = torch.fft.irfft(power, size)[:, :steps].mean(0) / torch.arange(steps, 0, -1)
    time = 2 * (lags / variance).cumsum(0) - 1
    done = torch.arange(steps) >= window * time
    done[-1] = True
    return max(1.0, float(time[int(done.nonzero()[0])]))
