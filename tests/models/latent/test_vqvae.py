"""The vector-quantised autoencoder, its codebook and its prior against quantities known exactly."""

import itertools
import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from genlab.data.batches import Batch, Batches
from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.models.latent.codebook import Codebook, perplexity, straight_through
from genlab.models.latent.vqvae import VQVAE
from genlab.networks.causal_transformer import CausalTransformer
from genlab.networks.code_grids import CodeGridDecoder, CodeGridEncoder, SplitMLP
from tests.helpers.support import adam_recipe, small_data, spec_of


def build(data: DataSpec, **keys: object) -> VQVAE:
    defaults: dict[str, object] = {
        "codebook": 4,
        "code_dim": 3,
        "positions": 2,
        "hidden": [16],
        "network": "mlp",
        "activation": "tanh",
        "likelihood": "auto",
        "commitment": 0.25,
        "decay": 0.9,
        "revival": 0.02,
        "prior_width": 8,
        "prior_depth": 1,
        "prior_dropout": 0.0,
    }
    torch.manual_seed(0)
    return VQVAE(data, adam_recipe(3e-3), **(defaults | keys))  # type: ignore[arg-type]


def shaken(prior: CausalTransformer, by: float = 0.5) -> CausalTransformer:
    """Far from its start, which is the uniform distribution whatever the input."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(by * torch.randn_like(parameter))
    return prior.eval()


def sequences(length: int, symbols: int) -> Tensor:
    return torch.tensor(list(itertools.product(range(symbols), repeat=length)))


def clusters() -> tuple[Tensor, Tensor]:
    """Vectors (600, 2) in three clusters far apart, of 100, 200 and 300, and the means of the clusters."""
    generator = torch.Generator().manual_seed(3)
    centres = torch.tensor([[-10.0, 0.0], [10.0, 0.0], [0.0, 20.0]])
    which = torch.tensor([0] * 100 + [1] * 200 + [2] * 300)
    z = centres[which] + 0.5 * torch.randn(600, 2, generator=generator)
    return z, torch.stack([z[which == k].mean(0) for k in range(3)])


# The codebook


def test_nearest_vector_is_that_of_all_distances() -> None:
    torch.manual_seed(0)
    book = Codebook(50, 6, 0.9, 0.0)
    book.vectors.mul_(torch.linspace(0.1, 3, 50)[:, None])  # of unequal lengths, or an inner product would do
    z = 2 * torch.randn(40, 7, 6)
    distances = (z[:, :, None, :].double() - book.vectors.double()).square().sum(3)
    assert torch.equal(book.nearest(z), distances.argmin(2))


def test_gradient_of_the_quantised_vectors_is_handed_on_to_the_encoder() -> None:
    torch.manual_seed(0)
    vqvae = build(small_data("binary").spec)
    x = torch.bernoulli(torch.full((5, 1, 8, 8), 0.3))
    z_e = vqvae.features(x)
    z_q = vqvae.codebook.lookup(vqvae.codebook.nearest(z_e))
    passed = straight_through(z_e, z_q)
    torch.testing.assert_close(passed, z_q)
    leaf = z_q.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(vqvae.log_likelihood(leaf, x).sum(), leaf)
    (found,) = torch.autograd.grad(vqvae.log_likelihood(passed, x).sum(), z_e, retain_graph=True)
    torch.testing.assert_close(found, wanted)
    assert found.abs().max() > 1e-3
    weight = next(vqvae.encoder.parameters())
    (through,) = torch.autograd.grad(z_e, weight, wanted, retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(vqvae.log_likelihood(passed, x).sum(), weight)[0], through)


def test_running_means_in_closed_form() -> None:
    """After T updates N_k = g^T N_0 + (1 - g) sum_t g^(T - t) n_k(t), and the same for the sums."""
    torch.manual_seed(0)
    g, size, dim, updates = 0.8, 5, 3, 7
    book = Codebook(size, dim, g, 0.0)
    counts, sums = book.counts.double(), book.sums.double()
    stream = [(torch.randn(4, 6, dim), torch.randint(size, (4, 6))) for _ in range(updates)]
    counts, sums = g**updates * counts, g**updates * sums
    for t, (z, indices) in enumerate(stream, 1):
        n = book.update(z, indices)
        assert n.tolist() == [int((indices == k).sum()) for k in range(size)]
        for k in range(size):
            weight = (1 - g) * g ** (updates - t)
            counts[k] += weight * (indices == k).sum()
            sums[k] += weight * z[indices == k].double().sum(0)
    torch.testing.assert_close(book.counts.double(), counts, rtol=1e-5, atol=0)
    torch.testing.assert_close(book.sums.double(), sums, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(book.vectors.double(), sums / counts[:, None], rtol=1e-4, atol=1e-5)


def test_codebook_converges_to_the_means_of_clusters() -> None:
    z, means = clusters()
    book = Codebook(3, 2, 0.9, 0.0)
    book.vectors.copy_(torch.tensor([[-4.0, -3.0], [5.0, 4.0], [1.0, 12.0]]))
    book.sums.copy_(book.vectors)
    for _ in range(200):
        book.update(z, book.nearest(z))
    torch.testing.assert_close(book.vectors, means, atol=1e-3, rtol=0)
    torch.testing.assert_close(book.counts, torch.tensor([100.0, 200.0, 300.0]), rtol=1e-3, atol=0)


@pytest.mark.parametrize("seed", range(5))
def test_k_means_at_the_start_leaves_every_vector_at_the_mean_of_its_own(seed: int) -> None:
    torch.manual_seed(seed)
    z, _ = clusters()
    book = Codebook(8, 2, 0.99, 0.001)
    book.seed(z)
    assert bool(book.seeded)
    indices = book.nearest(z)
    assert len(indices.unique()) == 8
    for _ in range(50):
        book.update(z, book.nearest(z), decay=0.0)
    indices = book.nearest(z)
    for k in range(8):
        torch.testing.assert_close(book.vectors[k], z[indices == k].mean(0), atol=1e-4, rtol=0)


def test_a_vector_that_nobody_chooses_is_revived_and_the_others_are_left_alone() -> None:
    z, means = clusters()
    torch.manual_seed(0)
    book, never = Codebook(5, 2, 0.9, 0.05), Codebook(5, 2, 0.9, 0.0)
    for b in (book, never):
        b.vectors.copy_(torch.cat([means, torch.tensor([[500.0, 0.0], [0.0, -500.0]])]))
        b.counts.copy_(torch.tensor([100.0, 200.0, 300.0, 100.0, 100.0]))
        b.sums.copy_(b.vectors * b.counts[:, None])
    for update in range(60):
        for b in (book, never):
            b.update(z, b.nearest(z))
        if update == 10:  # 0.9^11 = 0.31 of the average: not yet
            assert book.vectors[3, 0] > 400
    assert never.vectors[3, 0] > 400
    assert len(book.nearest(z).unique()) == 5
    assert book.vectors.abs().max() < 25
    assert (torch.cdist(z, book.vectors).amin(1) < 3).all()
    assert never.nearest(z).max() == 2


def test_perplexity_of_uniform_and_of_single_choices() -> None:
    assert perplexity(torch.full((64,), 3.0)).item() == pytest.approx(64, rel=1e-5)
    assert perplexity(torch.tensor([0.0, 7.0, 0.0])).item() == pytest.approx(1, rel=1e-6)
    assert perplexity(torch.tensor([1.0, 1.0, 0.0, 2.0])).item() == pytest.approx(2**1.5, rel=1e-6)


# The prior


def test_prior_is_causal() -> None:
    prior = shaken(CausalTransformer(6, 5, 32, 2, 0.0))
    z = torch.randint(5, (4, 6))
    before = prior(z)
    for j in range(6):
        other = z.clone()
        other[:, j] = (other[:, j] + 1) % 5
        changed = (prior(other) - before).abs().amax((0, 2)) > 1e-4
        assert changed.tolist() == [i > j for i in range(6)]


@pytest.mark.parametrize(("length", "symbols", "depth"), [(3, 4, 2), (1, 6, 1), (4, 3, 0)])
def test_prior_sums_to_one(length: int, symbols: int, depth: int) -> None:
    prior = CausalTransformer(length, symbols, 8, depth, 0.0)
    every = sequences(length, symbols)
    torch.testing.assert_close(prior.log_prob(every), torch.full((len(every),), -length * math.log(symbols)))
    log_p = shaken(prior).log_prob(every).double()
    assert log_p.logsumexp(0).item() == pytest.approx(0, abs=1e-5)
    assert log_p.std() > 0.3


def test_draws_follow_the_prior() -> None:
    """Pearson's statistic of 27 sequences: 26 +- 7.2 in the mean, so that 60 is beyond the 1e-4 quantile."""
    prior = shaken(CausalTransformer(3, 3, 64, 2, 0.0), by=0.1)
    every = sequences(3, 3)
    p = prior.log_prob(every).detach().double().exp()
    torch.manual_seed(4)
    n = 20_000
    z = prior.sample(n)
    counts = torch.bincount((z * torch.tensor([9, 3, 1])).sum(1), minlength=27).double()
    assert (n * p).min() > 5
    assert ((counts - n * p).square() / (n * p)).sum() < 60
    assert (n * (p - 1 / 27).square() * 27).sum() > 600, "another distribution would be told apart"


# The model


def test_bound_is_one_term_of_the_sum_over_all_codes() -> None:
    vqvae = build(small_data("binary").spec)
    shaken(vqvae.prior)
    torch.manual_seed(1)
    vqvae.codebook.vectors.normal_(0, 2)
    for parameter in vqvae.decoder.parameters():
        parameter.detach().add_(0.3 * torch.randn_like(parameter))
    x = torch.bernoulli(torch.full((30, 1, 8, 8), 0.4))
    every = sequences(2, 4)
    with torch.no_grad():
        log_p_z = vqvae.prior.log_prob(every)
        assert log_p_z.logsumexp(0).item() == pytest.approx(0, abs=1e-5)
        z_q = vqvae.codebook.lookup(every)
        joint = torch.stack([log_p_z + vqvae.log_likelihood(z_q, xs.expand(16, -1, -1, -1)) for xs in x])  # (n, codes)
        bound, exact = vqvae.log_bound(x), joint.logsumexp(1)
    which = (vqvae.symbols(x) * torch.tensor([4, 1])).sum(1)
    torch.testing.assert_close(bound, joint.gather(1, which[:, None])[:, 0], rtol=1e-4, atol=1e-4)
    assert (bound <= exact + 1e-4).all()
    assert len(which.unique()) > 1
    bits = vqvae.rate_bits(x)
    torch.testing.assert_close(bits, -log_p_z[which] / math.log(2), rtol=1e-4, atol=1e-4)
    measured = vqvae.evaluate(Batch(x, None, 1.0))
    torch.testing.assert_close(measured["bound"], bound)
    torch.testing.assert_close(measured["prior"], bits * math.log(2))


def test_terms_of_the_loss() -> None:
    vqvae = build(small_data("binary").spec, commitment=3.0)
    x = torch.bernoulli(torch.full((20, 1, 8, 8), 0.3))
    vqvae.codebook.seed(vqvae.features(x))
    z_e = vqvae.features(x).detach()
    z = vqvae.codebook.nearest(z_e)
    gap = (z_e - vqvae.codebook.lookup(z)).square().sum((1, 2)).mean()
    counts = torch.bincount(z.flatten(), minlength=4).float()
    wanted = vqvae.evaluate(Batch(x, None, 0.0))
    metrics = next(iter(vqvae.train_loop([Batch(x, None, 0.0)])))
    torch.testing.assert_close(metrics["commitment"], 3.0 * gap)
    torch.testing.assert_close(metrics["perplexity"], perplexity(counts))
    for name in ("bound", "reconstruction", "prior", "commitment"):
        torch.testing.assert_close(metrics[name], wanted[name].mean())
    torch.testing.assert_close(metrics["loss"], metrics["commitment"] - metrics["bound"])
    torch.testing.assert_close(wanted["loss"], -wanted["bound"])  # held-out data do not care for the commitment
    assert vqvae.code_bits() == vqvae.positions * 2


def test_prior_and_autoencoder_do_not_pull_at_each_other() -> None:
    vqvae = build(small_data("binary").spec)
    held = [p for optimizer in vqvae.optimizers.values() for group in optimizer.param_groups for p in group["params"]]
    assert len({id(p) for p in held}) == len(held) == len(list(vqvae.parameters()))
    x = torch.bernoulli(torch.full((20, 1, 8, 8), 0.3))
    z = vqvae.symbols(x)
    vqvae.prior.log_prob(z).sum().backward()
    assert all(p.grad is None for part in (vqvae.encoder, vqvae.decoder) for p in part.parameters())
    assert not any(buffer.requires_grad for buffer in vqvae.codebook.buffers())


def stream_of_patterns(n: int) -> Iterator[Batch]:
    for update in range(n):
        yield Batch(patterns()[torch.randint(8, (64,))], None, update / n)


def patterns() -> Tensor:
    """Three patterns of 12 bits among 8 places: of probability 1/2, 1/4 and 1/4."""
    generator = torch.Generator().manual_seed(5)
    three = torch.bernoulli(torch.full((3, 12), 0.5), generator=generator)
    return three[torch.tensor([0, 0, 0, 0, 1, 1, 2, 2])]


def test_trained_on_a_few_patterns_it_is_their_distribution() -> None:
    """The bound cannot exceed minus the entropy of the data, 1.5 log 2 here, and comes close to it."""
    vqvae = build(spec_of(patterns().repeat(50, 1)), positions=2, code_dim=4, decay=0.99, prior_width=16)
    for optimizer in vqvae.optimizers.values():
        optimizer.param_groups[0]["lr"] = 0.01
    for _metrics in vqvae.train_loop(stream_of_patterns(400)):
        pass
    vqvae.eval()
    bound = vqvae.log_bound(patterns()).mean().item()
    assert -1.5 * math.log(2) - 0.15 < bound < -1.5 * math.log(2)
    torch.manual_seed(0)
    samples = vqvae.sample(4000, mean=False)
    matches = (samples[:, None] == patterns()[[0, 4, 6]]).all(2).float().mean(0)
    # Three standard errors of a share of 4,000 are 0.024; the rest is what the training lacks.
    torch.testing.assert_close(matches, torch.tensor([0.5, 0.25, 0.25]), atol=0.08, rtol=0)
    assert torch.equal(vqvae.reconstruct(patterns()).round(), patterns())


@pytest.mark.parametrize("kind", ["odd", "colour", "binary"])
def test_convolutions_keep_a_grid(kind: str) -> None:
    dataset = small_data(kind)
    vqvae = build(dataset.spec, network="conv", hidden=[8, 8], positions=None)
    height, width = dataset.spec.shape[1:]
    assert vqvae.positions == -(-height // 4) * -(-width // 4)
    assert isinstance(vqvae.encoder, CodeGridEncoder)
    assert isinstance(vqvae.decoder, CodeGridDecoder)
    stream = Batches(dataset.train, dataset.represent, batch_size=32, examples=64, seed=0, device=torch.device("cpu"))
    x = next(iter(stream)).x
    h = vqvae.encode(x)
    assert h.shape == (32, vqvae.latent_dim)
    assert vqvae.decode(h).shape == x.shape
    corner = x.clone()
    corner[:, :, 0, 0] = 1 - corner[:, :, 0, 0]
    moved = (vqvae.features(corner) - vqvae.features(x)).abs().amax((0, 2)).unflatten(0, vqvae.decoder.grid) > 0
    assert bool(moved[0, 0]), "a pixel reaches the place of the grid where it is"


@pytest.mark.parametrize(
    ("shape", "positions", "network"),
    [
        ((1, 28, 28), 8, SplitMLP),
        ((1, 8, 8), 2, SplitMLP),
        ((2,), 1, SplitMLP),
        ((50,), 4, SplitMLP),
        ((3, 32, 32), 64, CodeGridEncoder),
    ],
)
def test_length_of_a_code_follows_from_the_data(shape: tuple[int, ...], positions: int, network: type) -> None:
    x = (255 * torch.rand(20, *shape, generator=torch.Generator().manual_seed(0))).byte()
    data = spec_of(x, levels=256) if len(shape) == 3 else spec_of(x.float())
    vqvae = build(data, network="auto", positions=None, hidden=None)
    assert isinstance(vqvae.encoder, network)
    assert vqvae.positions == positions
    assert vqvae.latent_dim == 3 * positions


def test_untrained_decoder_starts_at_the_mean_of_the_data() -> None:
    images = (torch.rand(300, 1, 8, 8, generator=torch.Generator().manual_seed(2)) * 90).byte()
    data = spec_of(images, levels=256, binarize="dynamic")
    for network, atol in (("mlp", 1e-5), ("conv", 0.02)):
        vqvae = build(data, network=network, hidden=[8], positions=None)
        with torch.no_grad():
            for name, parameter in vqvae.decoder.named_parameters():
                if name.endswith("weight"):
                    parameter.zero_()
        torch.testing.assert_close(vqvae.sample(1)[0], data.mean, atol=atol, rtol=0)


@pytest.mark.parametrize(
    ("kind", "keys", "message"),
    [
        ("vectors", {"network": "conv"}, r"model\.network=conv: .* vectors of 3 numbers; set model\.network=mlp"),
        ("grey", {"network": "conv"}, r"model\.positions=2: .*leave it null"),
        ("grey", {"network": "conv", "positions": None, "hidden": [8] * 6}, r"model\.hidden=\[8, .*name 1 or a few"),
        ("grey", {"network": "conv", "positions": None, "hidden": []}, r"model\.hidden=\[\]"),
    ],
)
def test_mistakes_name_the_key_and_the_remedy(kind: str, keys: dict[str, object], message: str) -> None:
    with pytest.raises(GenlabError, match=message):
        build(small_data(kind).spec, **keys)


def test_codebook_is_seeded_once_and_saved() -> None:
    x = torch.rand(64, 5, generator=torch.Generator().manual_seed(0))
    data = spec_of(x)
    vqvae = build(data)
    assert not bool(vqvae.codebook.seeded)
    next(iter(vqvae.train_loop([Batch(x, None, 0.0)])))
    again = build(data)
    again.load_state_dict(vqvae.state_dict())
    torch.testing.assert_close(again.codebook.vectors, vqvae.codebook.vectors)
    moved = vqvae.codebook.vectors.clone()
    next(iter(again.train_loop([Batch(x, None, 0.5)])))
    assert (again.codebook.vectors - moved).abs().max() < 0.5 * moved.abs().max(), "moved by a step, not drawn anew"
