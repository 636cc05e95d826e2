"""How chains mix, against processes whose answers are known, and what a run logs of its chains."""

import math
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from genlab.inference.mixing import mixing
from genlab.metrics.convergence import autocorrelation_time, r_hat
from genlab.models.abilities import HasMarkovChain
from tests.helpers.support import configure, make_model, records, small_data, start


def autoregressive(phi: float, chains: int, steps: int) -> Tensor:
    """x_t = phi x_(t-1) + noise, stationary: rho(t) = phi^t."""
    generator = torch.Generator().manual_seed(0)
    x = [torch.randn(chains, generator=generator)]
    for _ in range(steps - 1):
        x.append(phi * x[-1] + math.sqrt(1 - phi**2) * torch.randn(chains, generator=generator))
    return torch.stack(x, 1)


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_autocorrelation_time_of_an_autoregressive_process(phi: float) -> None:
    chains, steps = 50, 2000
    expected = (1 + phi) / (1 - phi)
    found = autocorrelation_time(autoregressive(phi, chains, steps))
    # Madras & Sokal 1988: the relative error is about sqrt(2 (2 W + 1)/N) with a window of W = 5 times the result
    error = expected * math.sqrt(2 * (10 * expected + 1) / (chains * steps))
    assert abs(found - expected) < 4 * error + 0.05 * expected  # and what lies beyond the window


def test_chains_that_stand_apart_have_a_long_autocorrelation_time_and_r_hat() -> None:
    x = autoregressive(0.5, 20, 400)
    assert r_hat(x) == pytest.approx(1, abs=0.02)
    apart = x + 3 * torch.arange(20).remainder(2).unsqueeze(1)
    # within a chain the variance is 1, and 9 * 20/(4 * 19) between the means of both halves
    assert r_hat(apart) == pytest.approx(math.sqrt(1 + 9 * 20 / 76), rel=0.05)
    assert autocorrelation_time(apart) > 20 * autocorrelation_time(x)


def test_chains_that_never_move() -> None:
    still = torch.ones(4, 10)
    assert r_hat(still) == 1
    assert r_hat(still * torch.arange(4.0).unsqueeze(1)) == math.inf
    assert autocorrelation_time(still) == 1


def test_chains_of_a_machine_without_weights_forget_at_once_and_those_of_one_with_two_modes_do_not() -> None:
    data = small_data("spins")
    model = make_model(configure("model=rbm", "model.hidden=3"), data.spec)
    assert isinstance(model, HasMarkovChain)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    free = mixing(model, data, seed=0)
    assert free["r_hat"].value < 1.05
    assert free["autocorrelation_time"].value < 2
    with (
        torch.no_grad()
    ):  # all units on or all off, with the same energy: E = -w (sum x)(sum h) + w (3 sum x + 6 sum h)/2
        for name, parameter in model.named_parameters():
            if name.endswith("W"):
                parameter.fill_(8.0)
            else:
                parameter.fill_(-4.0 * (3 if name.endswith("a") else 6))
    model.average = 0.0  # type: ignore[assignment]
    assert mixing(model, data, seed=0)["r_hat"].value > 1.5


def test_a_run_logs_its_chains_filters_and_weights(tmp_path: Path) -> None:
    config = configure("model=rbm", "train.examples=3000", "train.sample_every=1500", "train.log_every=1000")
    start(tmp_path, config).fit()
    logged = records(tmp_path)
    assert {"monitor/free_energy_gap", "monitor/pseudo_log_likelihood", "monitor/free_energy"} <= logged[0].keys()
    assert {"monitor/r_hat", "monitor/autocorrelation_time"} <= logged[-1].keys()
    for name in ("fantasies", "filters", "activations", "samples"):
        assert (tmp_path / "samples" / f"{name}.png").stat().st_size > 500
    events = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"histograms": 0}).Reload()
    shown = events.Histograms("parameters/W")
    weights = torch.load(tmp_path / "checkpoints" / "last.pt")["model"]["W"]
    assert len(shown) == 2  # seldom
    assert shown[-1].histogram_value.num == weights.numel()
    assert shown[-1].histogram_value.sum == pytest.approx(float(weights.sum()), rel=1e-4)
    assert max(shown[-1].histogram_value.bucket_limit) == pytest.approx(float(weights.max()), rel=1e-6)
