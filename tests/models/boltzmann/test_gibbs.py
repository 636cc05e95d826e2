"""Samples, walks and inpainting of a Boltzmann machine against enumeration, and the draws that they are made of.

Draws are compared by chi-square, whose p-value a right machine puts below 1e-4 once in 10,000 seeds, or by the largest
distance of a mean in standard errors, which 4.5 exceeds for one component in 150,000.
"""

import pytest
import torch
from torch import Tensor

from genlab.errors import GenlabError
from genlab.numerics.rng import bernoulli
from tests.helpers.boltzmann_machines import log_p_visible, rbm, visible_states
from tests.helpers.draws import deviation, p_value, states

RARE, FAR = 1e-4, 4.5


@pytest.mark.parametrize("sampler", ["annealed", "gibbs", "chains", "tempered"])
def test_samples_follow_the_distribution_and_that_of_a_class(sampler: str) -> None:
    machine = rbm(3, 3, 3, negative="pcd", chains=6000)
    p = log_p_visible(machine).exp().reshape(8, 3)
    torch.manual_seed(0)
    drawn = machine.sample(6000, sampler=sampler, steps=60, mean=False)
    assert p_value(drawn, states(3), p.sum(1)) > RARE
    if sampler == "tempered":
        return
    drawn = machine.sample(6000, sampler=sampler, steps=60, labels=[1, 2], mean=False)
    for y in (1, 2):
        assert p_value(drawn[y - 1 :: 2], states(3), p[:, y] / p[:, y].sum()) > RARE
    means = machine.sample(6000, sampler=sampler, steps=60, labels=1, mean=True)
    assert deviation(means, p[:, 1] @ states(3) / p[:, 1].sum()) < FAR
    assert not bool(((means == 0) | (means == 1)).any())


@pytest.mark.parametrize("classes", [0, 2])
def test_inpainting_keeps_what_is_known_and_draws_the_rest_given_it(classes: int) -> None:
    machine = rbm(4, 3, classes)
    x, known = torch.tensor([1.0, 0, 0, 1]).double(), torch.tensor([True, False, False, True])
    p = log_p_visible(machine).exp().reshape(16, -1).sum(1)
    keeps = (states(4)[:, known] == x[known]).all(1)
    torch.manual_seed(0)
    *_, filled = (state for state in machine.inpaint_loop(x.repeat(6000, 1), known, 60, mean=False))
    assert p_value(filled, states(4)[keeps], p[keeps] / p[keeps].sum()) > RARE
    for state in machine.inpaint_loop(x.repeat(5, 1), known, 10):
        assert torch.equal(state[:, known], x[known].repeat(5, 1))


@pytest.mark.parametrize(
    ("classes", "options", "message"),
    [
        (3, {"labels": 3}, "labels=3: classes are 0 to 2"),
        (3, {"labels": [0, -1]}, "labels=.*: classes are 0 to 2"),
        (3, {"labels": []}, "labels=.*: classes are 0 to 2"),
        (0, {"labels": 1}, "labels=1: .*model.conditional=true"),
        (3, {"sampler": "tempered", "labels": 1}, "labels=1: .*set sampler=annealed"),
        (0, {"sampler": "chain"}, "sampler=chain: .*chains"),
        (0, {"sampler": "chains"}, "sampler=chains: .*model.negative=cd; set sampler=annealed"),
    ],
)
def test_what_cannot_be_sampled_is_said_by_its_key(classes: int, options: dict[str, object], message: str) -> None:
    with pytest.raises(GenlabError, match=message):
        rbm(4, 3, classes).sample(2, **options)


def test_walks_from_anywhere_end_at_the_distribution() -> None:
    """`settle`, the start of reverse annealing, from one example with its most probable class; and `walk` from the base."""
    machine = rbm(3, 3, 2)
    p = log_p_visible(machine).exp()
    torch.manual_seed(0)
    assert p_value(machine.settle(states(3)[:1].repeat(8000, 1), 40), visible_states(machine), p) > RARE
    *_, last = machine.walk(8000, 40)
    assert p_value(last, states(3), p.reshape(8, 2).sum(1)) > RARE
    independent = torch.where(states(3) == 1, machine.data.mean, 1 - machine.data.mean).prod(1).double()
    assert p_value(machine.base_draws(8000)[:, :3], states(3), independent) > RARE


def test_draws_have_their_probability_to_24_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over everything that the generator can give: each of 2^16 values of u, at each of 2^8 values of delta."""
    u = torch.arange(2**16).to(torch.int16).view(torch.int64)
    byte = 0

    def fill(bits: Tensor, *_: object) -> Tensor:
        return bits.copy_(torch.cat([u, torch.full((1,), byte).to(torch.uint8).repeat(8).view(torch.int64)]))

    monkeypatch.setattr(torch.Tensor, "random_", fill)
    for p in (0.0, 2**-16 / 3, 0.3, 1 - 2**-16 / 3, 1.0):
        ones = 0
        for byte in range(256):  # noqa: B007
            ones += int(bernoulli(torch.full((2**16,), p)).count_nonzero())
        assert abs(ones - p * 2**24) <= (1 if 0 < p < 1 else 0)


def test_draws_are_independent_and_unbiased_whatever_their_type() -> None:
    torch.manual_seed(0)
    n, calls = 2**16, 150
    p = torch.tensor([0.3, 0.5, 0.9, 2e-4]).repeat(n // 4)
    grey = torch.tensor([0, 51, 128, 255], dtype=torch.uint8).repeat(n // 4)
    pairs = torch.zeros(calls, 5)
    means, of_grey, doubles = torch.zeros(calls, 4), torch.zeros(calls, 4), torch.zeros(calls, 4)
    for i in range(calls):
        means[i] = (drawn := bernoulli(p)).view(-1, 4).mean(0)
        of_grey[i] = bernoulli(grey, scale=1 / 255).view(-1, 4).mean(0)
        doubles[i] = bernoulli(p[:4096].double()).view(-1, 4).mean(0)
        centred = (drawn - p) / (p * (1 - p)).sqrt()
        pairs[i] = torch.stack([(centred[lag:] * centred[:-lag]).mean() for lag in (1, 2, 3, 4, 8)])
    assert deviation(means, p[:4]) < FAR
    assert deviation(of_grey[:, 1:3], torch.tensor([0.2, 128 / 255])) < FAR
    assert set(of_grey[:, 0].tolist()) == {0.0}
    assert deviation(doubles, p[:4]) < FAR
    assert deviation(pairs, torch.zeros(5)) < FAR
    assert float(pairs.std(0).max()) < 1.2 / n**0.5  # as of independent draws
    assert bernoulli(grey).dtype == drawn.dtype == torch.float32
    assert bernoulli(p.double()).dtype == torch.float64
    torch.manual_seed(1)
    expected = bernoulli(p)
    torch.manual_seed(1)
    assert bernoulli(p, out=p) is p
    assert torch.equal(p, expected)


def test_probabilities_below_the_resolution_of_a_draw_are_kept() -> None:
    """p = 2^-16/3: about 100 ones among 300 calls of 2^16 draws, neither 0 nor 300. One delta a call makes their spread 13."""
    torch.manual_seed(0)
    ones = sum(int(bernoulli(torch.full((2**16,), 2**-16 / 3)).sum()) for _ in range(300))
    assert 100 - 4 * 13 < ones < 100 + 4 * 13
