"""Running averages of parameters, and copies of networks."""

import pytest
import torch
from torch import nn

from genlab.models.ema import EMA, FrozenCopy


def test_an_average_reaches_over_all_updates_or_a_share_of_them() -> None:
    """Of theta = n after n updates the mean of all is (n + 1)/2; over a tenth of them it lags behind by about n/11."""
    network = nn.Linear(1, 1, bias=False)
    whole, tenth = EMA(network, 0.9999), EMA(network, 0.9999, reach=0.1)
    for n in range(1, 501):
        nn.init.constant_(network.weight, n)
        whole.update(network)
        tenth.update(network)
    assert float(whole(torch.ones(1, 1))) == pytest.approx(250.5)
    assert float(tenth(torch.ones(1, 1))) == pytest.approx(500 - 500 / 11, rel=0.01)


def test_an_average_forgets_at_its_decay() -> None:
    """A step from 0 to 1 is followed as 1 - d^n, once the average reaches over more than 1/(1 - d) updates."""
    network = nn.Linear(1, 1, bias=False)
    average = EMA(network, 0.9)
    nn.init.zeros_(network.weight)
    for _ in range(100):
        average.update(network)
    nn.init.ones_(network.weight)
    for _ in range(7):
        average.update(network)
    assert float(average(torch.ones(1, 1))) == pytest.approx(1 - 0.9**7, abs=1e-6)


def test_a_copy_has_no_dropout_even_where_the_model_is_trained() -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))
    both = nn.ModuleList([network, copy := FrozenCopy(network)]).train()
    x = torch.randn(8, 4)
    assert both[0].training
    assert torch.equal(copy(x), copy(x))


def test_a_copy_takes_the_state_of_a_network_or_of_its_average_and_learns_nothing() -> None:
    network = nn.Linear(2, 1)
    copy, average = FrozenCopy(network), EMA(network, 0.5)
    nn.init.ones_(network.weight)
    x = torch.ones(1, 2, requires_grad=True)
    assert not torch.equal(copy(x), network(x))
    copy.take(network)
    assert torch.equal(copy(x), network(x))
    average.update(network)
    copy.take(average)
    assert torch.equal(copy(x), average(x))
    copy(x).sum().backward()
    assert x.grad is not None
    assert all(p.grad is None for p in copy.parameters())
