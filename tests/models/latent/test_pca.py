"""Probabilistic PCA: its density, its optimum and its spectrum against exact answers; one pass; what degenerate data give."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from genlab.data.batches import Batch, Batches
from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.experiment.opening import open_run
from genlab.inference.portfolio import portfolio, training_pictures
from genlab.models.abilities import HasFilters, HasLogProb, HasRemarks, HasSpectrum
from genlab.models.latent.moments import ExactMoments
from genlab.models.latent.pca import MOST_EXACT, PCA
from genlab.tracking.run_folder import RunFolder
from genlab.training.devices import Device
from tests.helpers.support import (
    configure,
    dataset_of,
    experiment_of,
    make_dataset,
    records,
    small_data,
    spec_of,
    start,
    state_of,
)
from tests.models.test_contract import PowerCut, cut_off

CPU = Device(name="cpu", precision="fp32", compile=False, threads=1, processes=1)


def points(n: int = 500, dim: int = 6, offset: float = 10.0) -> Tensor:
    """Correlated vectors far from the origin, their variances spread over two decades."""
    generator = torch.Generator().manual_seed(2)
    mixing = torch.linalg.qr(torch.randn(dim, dim, generator=generator)).Q * torch.logspace(0.5, -0.5, dim)
    x: Tensor = torch.randn(n, dim, generator=generator) @ mixing.T + offset
    return x


def spec(x: Tensor) -> DataSpec:
    return spec_of(torch.cat([x, x]))


def fitted(x: Tensor, q: int | None, method: str = "exact", batch: int = 128) -> PCA:
    torch.manual_seed(0)
    model = PCA(spec(x), None, latent_dim=q, method=method)  # type: ignore[arg-type]
    for _ in model.train_loop([Batch(part, None, 0.0) for part in x.split(batch)]):
        pass
    return model


def moments_of(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, eigenvalues (largest first) and eigenvectors (as rows) of the data, in float64, without streaming."""
    x = x.double().flatten(1)
    centred = x - x.mean(0)
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(x))
    return x.mean(0), values.flip(0), vectors.flip(1).T


def cosines(a: Tensor, b: Tensor) -> Tensor:
    """Cosines of the principal angles between the spans of the rows."""
    found: Tensor = torch.linalg.svdvals(torch.linalg.qr(a.double().T).Q.T @ torch.linalg.qr(b.double().T).Q)
    return found


def test_it_has_the_capabilities_of_a_density_with_a_spectrum() -> None:
    model = PCA(spec(points()), None, latent_dim=2, method="auto")
    for capability in (HasLogProb, HasSpectrum, HasFilters, HasRemarks):
        assert isinstance(model, capability)
    assert not model.optimizers


@pytest.mark.parametrize("q", [1, 3, 5, 6])
def test_average_log_likelihood_at_the_optimum_is_the_formula_of_tipping_and_bishop(q: int) -> None:
    x = points()
    _, values, _ = moments_of(x)
    D = len(values)
    s2 = values[q:].mean() if q < D else values[-1]
    expected = -0.5 * (D * math.log(2 * math.pi) + values[:q].log().sum() + (D - q) * s2.log() + D)
    log_p = fitted(x, q).log_prob(x)
    assert log_p.dtype == torch.float64
    assert log_p.mean().item() == pytest.approx(expected.item(), abs=1e-10)


def test_no_neighbouring_parameters_are_more_likely() -> None:
    x = points()
    model = fitted(x, 2)
    best = model.log_prob(x).mean()
    for name, parameter in model.named_parameters():
        for sign in (-1, 1):
            before = parameter.clone()
            parameter.mul_(1 + sign * 0.01)
            assert model.log_prob(x).mean() < best, name
            parameter.copy_(before)


def test_log_prob_is_that_of_the_normal_distribution_with_the_full_covariance() -> None:
    x = points()
    model = fitted(x, 2)
    W, variance, _ = model.factors()
    full = MultivariateNormal(model.mean.double(), W @ W.T + variance * torch.eye(6).double())
    elsewhere = x[:50].double() + 3 * torch.randn(50, 6, generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(model.log_prob(elsewhere), full.log_prob(elsewhere), rtol=1e-10, atol=1e-10)
    # The latent posterior is that of the joint normal distribution: E[h|x] = W^T C^-1 (x - mu).
    expected = (elsewhere - model.mean.double()) @ torch.linalg.solve(full.covariance_matrix, W)
    torch.testing.assert_close(model.encode(elsewhere), expected.float(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("levels", "rounding"), [(2, 1e-14), (17, 1e-14), (256, 1e-14), (512, 1e-14), (1000, 1e-5)])
def test_sums_over_grey_levels_have_no_rounding_error(levels: int, rounding: float) -> None:
    """Those of float32 are expected where there are too many levels."""
    v = torch.randint(levels, (3000, 6), generator=torch.Generator().manual_seed(levels))
    v[:, 0] = levels - 1  # the largest products, of one sign
    x = v.float() / (levels - 1)
    moments = ExactMoments(x.mean(0) / 2, levels)
    for part in x.split(1111):
        moments.add(part)
    k = v.double() - moments.shift * (levels - 1)
    unit = 1 / (levels - 1)
    torch.testing.assert_close(moments.first, unit * k.sum(0), rtol=rounding, atol=0)
    torch.testing.assert_close(moments.second.tril(), (unit**2 * k.T @ k).tril(), rtol=10 * rounding, atol=0)
    torch.testing.assert_close(moments.squares, unit**2 * k.square().sum(), rtol=10 * rounding, atol=0)
    torch.testing.assert_close(moments.leading(2).mean, x.double().mean(0), rtol=1e-6, atol=0)


def test_axes_variances_and_projection_error_are_those_of_the_covariance() -> None:
    x, q = points(), 3
    mean, values, vectors = moments_of(x)
    model = fitted(x, q)
    torch.testing.assert_close(model.mean.double(), mean, rtol=1e-6, atol=0)
    variances, total = model.spectrum()
    torch.testing.assert_close(variances, values[:q], rtol=1e-6, atol=0)
    assert total == pytest.approx(values.sum().item(), rel=1e-6)
    signs = (model.filters().double() * vectors[:q]).sum(1)
    torch.testing.assert_close(signs.abs(), torch.ones(q).double(), rtol=0, atol=1e-6)
    assert (model.filters().gather(1, model.filters().abs().argmax(1, keepdim=True)) > 0).all()
    for k in range(q + 1):
        error = (model.reconstruct_with(x, k) - x).double().square().sum(1).mean()
        assert error.item() == pytest.approx(values[k:].sum().item(), rel=1e-5)
    assert torch.equal(model.reconstruct(x), model.reconstruct_with(x, q))
    assert model.evaluate(Batch(x, None, 1.0))["mse"].mean().item() == pytest.approx(values[q:].sum().item(), rel=1e-5)


def test_codes_of_the_data_have_the_variance_that_the_posterior_leaves() -> None:
    """The codes E[h|x] of the training data are uncorrelated, with variances 1 - s2/l_i: the prior less the posterior's."""
    x, q = points(), 3
    model = fitted(x, q)
    variances, _ = model.spectrum()
    expected = torch.diag(1 - model.noise_variance.double() / variances)
    torch.testing.assert_close(torch.cov(model.encode(x).double().T, correction=0), expected, rtol=0, atol=1e-5)


def test_samples_have_the_mean_and_the_covariance_of_the_model() -> None:
    model, n = fitted(points(), 2), 100_000
    torch.manual_seed(1)
    x = model.sample(n).double()
    W, variance, _ = model.factors()
    C = W @ W.T + variance * torch.eye(6).double()
    diagonal = C.diagonal()
    assert ((x.mean(0) - model.mean).abs() < 5 * (diagonal / n).sqrt()).all()
    # The variance of an entry of a sample covariance is (C_ii C_jj + C_ij^2)/n.
    error = ((torch.outer(diagonal, diagonal) + C.square()) / n).sqrt()
    assert ((torch.cov(x.T) - C).abs() < 5 * error).all()
    means = model.sample(1000, mean=True)
    assert torch.linalg.matrix_rank(means - model.mean, rtol=1e-4) == 2


def test_a_far_offset_costs_no_digits() -> None:
    near, far = (points(offset=offset) for offset in (0.0, 1000.0))
    _, values, _ = moments_of(far)
    variances, _ = fitted(far, 3).spectrum()
    torch.testing.assert_close(variances, values[:3], rtol=1e-6, atol=0)
    torch.testing.assert_close(variances, fitted(near, 3).spectrum()[0], rtol=1e-3, atol=0)


def test_the_randomised_method_finds_the_axes_and_keeps_the_total_variance() -> None:
    """400 dimensions whose eigenvalues fall as 1/i^2; the sketch has 140 columns for q = 5."""
    generator = torch.Generator().manual_seed(1)
    basis = torch.linalg.qr(torch.randn(400, 400, generator=generator)).Q
    x = torch.randn(2000, 400, generator=generator) / torch.arange(1, 401) @ basis.T + 5
    exact, sketched = fitted(x, 5), fitted(x, 5, "randomised")
    assert sum(b.numel() for b in sketched.buffers()) < 0.8 * sum(b.numel() for b in exact.buffers())
    ours, total = sketched.spectrum()
    theirs, whole = exact.spectrum()
    assert total == pytest.approx(whole, rel=1e-6)
    assert (ours <= theirs * (1 + 1e-6)).all(), "a Nystroem approximation never exceeds the matrix"
    torch.testing.assert_close(ours, theirs, rtol=0.01, atol=0)
    assert cosines(sketched.filters(), exact.filters()).min() > 0.999
    assert sketched.log_prob(x).mean() <= exact.log_prob(x).mean()
    assert sketched.log_prob(x).mean().item() == pytest.approx(exact.log_prob(x).mean().item(), abs=0.5)


def test_a_sketch_of_a_matrix_of_low_rank_is_exact() -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(400, 8, generator=generator) @ torch.randn(8, 200, generator=generator)
    torch.testing.assert_close(fitted(x, 8, "randomised").spectrum()[0], moments_of(x)[1][:8], rtol=1e-5, atol=0)


def test_wide_data_take_the_randomised_method_by_themselves() -> None:
    image = torch.randint(256, (40, 3, 40, 40), generator=torch.Generator().manual_seed(0)).byte()
    model = PCA(spec_of(image, levels=256), None, latent_dim=4, method="auto")
    assert max(b.numel() for b in model.buffers()) < 4800**2 / 10
    for _ in model.train_loop([Batch(image / 255, None, 0.0)]):
        pass
    assert model.log_prob(image / 255).isfinite().all()


def test_one_pass_counts_every_example_once(tmp_path: Path) -> None:
    """digits: 1,294 training examples in batches of 1,000, the second one cut."""
    loop = start(tmp_path, configure("model=pca"))
    loop.fit()
    train = loop.dataset.represent(loop.dataset.train.take(torch.arange(len(loop.dataset.train))))
    assert loop.batches.seen == len(train) == int(loop.model.moments.count)  # type: ignore[union-attr, arg-type]
    assert isinstance(loop.model, PCA)
    mean, values, _ = moments_of(train)
    axes = loop.model.moments.leading(loop.model.latent_dim)
    torch.testing.assert_close(axes.mean, mean, rtol=0, atol=1e-12)
    torch.testing.assert_close(axes.variances, values[:32], rtol=1e-10, atol=1e-12)
    assert axes.total.item() == pytest.approx(values.sum().item(), rel=1e-12)


def test_only_a_closed_form_has_its_last_batch_cut() -> None:
    dataset = small_data("grey")
    for cut, sizes in ((False, [150, 150]), (True, [150, len(dataset.train) - 150])):
        stream = Batches(
            dataset.train,
            dataset.represent,
            batch_size=150,
            examples=len(dataset.train),
            seed=0,
            device=torch.device("cpu"),
            cut_last=cut,
        )
        assert [len(batch.x) for batch in stream] == sizes
        assert stream.seen == sum(sizes)
    assert experiment_of(configure("model=pca"), dataset).examples == len(dataset.train)  # below the batch size
    assert experiment_of(configure("model=pca", "train.epochs=3"), dataset).examples == 3 * len(dataset.train)
    assert experiment_of(configure("model=pca", "train.examples=70"), dataset).examples == 70
    with pytest.raises(GenlabError, match=r"train\.batch_size=1000"):
        _ = experiment_of(configure("model=vae", "train.batch_size=1000", "train.examples=70"), dataset).examples


@pytest.mark.slow
def test_the_order_of_batches_and_a_resumed_run_change_nothing(tmp_path: Path) -> None:
    words = (
        "model=pca",
        "train.batch_size=100",
        "train.checkpoint_every=300",
        "train.eval_every=400",
        "train.log_every=500",
    )
    whole = start(tmp_path / "whole", configure(*words))
    whole.fit()
    loop = start(tmp_path / "cut", configure(*words))
    with pytest.raises(PowerCut):
        cut_off(loop, 700)
    loop = start(tmp_path / "cut", configure(*words))
    assert 0 < loop.batches.seen < 700
    loop.fit()
    for key, value in state_of(whole.model).items():
        assert torch.equal(value, state_of(loop.model)[key]), key
    assert records(tmp_path / "whole") == records(tmp_path / "cut")
    other = start(tmp_path / "other", configure(*words, "seed=5"))
    other.fit()
    for name, parameter in whole.model.named_parameters():
        torch.testing.assert_close(parameter, dict(other.model.named_parameters())[name], rtol=1e-4, atol=1e-5)


def test_an_interrupted_run_opens_with_what_it_had_counted(tmp_path: Path) -> None:
    loop = start(tmp_path, configure("model=pca", "train.batch_size=100", "train.checkpoint_every=300"))
    with pytest.raises(PowerCut):
        cut_off(loop, 700)
    model = open_run(RunFolder(tmp_path), CPU, "last").model
    assert isinstance(model, PCA)
    seen = int(model.moments.count)
    assert int(model.solved_at) < seen
    _, total = model.spectrum()
    assert int(model.solved_at) == seen
    assert total == pytest.approx(float(model.moments.variance()), rel=1e-5)


@pytest.mark.parametrize(("dim", "q"), [(1, 1), (2, 1), (3, 2), (33, 32), (64, 32)])
def test_the_number_of_axes_follows_from_the_data(dim: int, q: int) -> None:
    x = points(200, dim)
    model = fitted(x, None)
    assert model.latent_dim == q
    assert model.log_prob(x).isfinite().all()
    assert not model.remarks()


def test_more_axes_than_components_are_refused_with_a_remedy() -> None:
    with pytest.raises(GenlabError, match=r"model\.latent_dim=7: .* 6 components .*; set model\.latent_dim=5 or less"):
        fitted(points(), 7)


def test_second_moments_beyond_memory_are_refused_with_a_remedy() -> None:
    mean = torch.zeros(MOST_EXACT + 1)
    data = DataSpec("wide", tuple(mean.shape), "real", None, None, -1.0, 1.0, mean, mean + 1)
    with pytest.raises(GenlabError, match=r"model\.method=exact: .* 2\.0 GiB; set model\.method=randomised"):
        PCA(data, None, latent_dim=2, method="exact")


@pytest.mark.parametrize("method", ["exact", "randomised"])
def test_data_in_a_subspace_give_one_remark_with_a_remedy_that_works(method: str) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, 3, generator=generator) @ torch.randn(3, 6, generator=generator) + 4
    for q in (3, 4):
        model = fitted(x, q, method)
        (remark,) = model.remarks()
        assert f"span 3 dimensions, of which model.latent_dim={q} leaves none" in remark
        assert "set model.latent_dim=2 or less" in remark
        assert model.log_prob(x).isfinite().all()
        torch.testing.assert_close(model.reconstruct(x), x, rtol=0, atol=1e-4)
        assert model.sample(5).isfinite().all()
    assert not fitted(x, 2, method).remarks()


def test_fewer_examples_than_axes_and_examples_that_are_all_alike_give_a_remark() -> None:
    assert "span 4 dimensions" in fitted(points(5), 5).remarks()[0]
    (remark,) = fitted(torch.full((40, 3), 7.0), 1).remarks()
    assert "span 0 dimensions" in remark
    assert "add noise" in remark


def test_components_that_never_vary_are_no_obstacle() -> None:
    x = torch.cat([points(), torch.full((500, 2), 3.0)], 1)
    model = fitted(x, 4)
    assert not model.remarks()
    assert (model.filters()[:, 6:] == 0).all()


def test_bounded_data_stay_in_their_box_and_are_centred_on_their_mean() -> None:
    for kind in ("grey", "binary", "spins"):
        dataset = small_data(kind)
        x = dataset.represent(dataset.train.take(torch.arange(len(dataset.train))))
        model = PCA(dataset.spec, None, latent_dim=3, method="auto")
        for _ in model.train_loop([Batch(x, None, 0.0)]):
            pass
        for made in (model.sample(200), model.sample(200, mean=False), model.reconstruct(x)):
            assert made.min() >= 0
            assert made.max() <= 1
        torch.testing.assert_close(model.reconstruct_with(x, 0), x.mean(0).expand_as(x), rtol=0, atol=1e-5)


def test_pictures_show_the_spectrum_and_what_few_axes_keep() -> None:
    dataset = small_data("grey")
    model = PCA(dataset.spec, None, latent_dim=5, method="auto")
    x = dataset.represent(dataset.train.take(torch.arange(len(dataset.train))))
    for _ in model.train_loop([Batch(x, None, 0.0)]):
        pass
    shown, arrays = portfolio(model.eval(), dataset, n=4, seed=0)
    for found in (shown, training_pictures(model, dataset, 0, None)):
        assert {"spectrum", "reconstructions_by_components", "filters"} <= set(found)
    torch.testing.assert_close(torch.from_numpy(arrays["variances"]), model.spectrum()[0])
    rows = shown["reconstructions_by_components"].shape[0] / shown["reconstructions"].shape[0] * 8
    assert round(rows) == 5, "the data, and 1, 2, 4 and 5 axes"
    vectors = dataset_of(points())
    plain, _ = portfolio(fitted(points(), 2).eval(), vectors, n=4, seed=0)
    assert "spectrum" in plain
    assert "reconstructions_by_components" not in plain


def test_digits_alone_give_a_full_run(tmp_path: Path) -> None:
    config = configure("model=pca", "model.latent_dim=10")
    dataset = make_dataset(config)
    loop = start(tmp_path, config, dataset)
    before = loop.evaluate(dataset.test)["loss"][0]
    results = loop.fit()
    assert results["test/loss"][0] < before
    assert [record["examples"] for record in records(tmp_path)][-1] == len(dataset.train)
