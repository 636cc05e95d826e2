"""Measures of samples: against closed forms, against other implementations, and their errors against repetition."""

import math

import pytest
import torch
from sklearn.metrics import confusion_matrix as sklearn_confusion
from sklearn.metrics.pairwise import polynomial_kernel, rbf_kernel
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn
from torchmetrics.classification import MulticlassCalibrationError
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from genlab.metrics.classes import (
    accuracy_by_class,
    calibration_error,
    classes_reached,
    confusion_matrix,
    entropy,
    histogram,
    total_variation,
)
from genlab.metrics.estimate import Estimate, bootstrap, mean
from genlab.metrics.frechet import fid, frechet_distance
from genlab.metrics.kernels import CUBIC, Kernel, gaussian, median_distance, mmd, within
from genlab.metrics.manifolds import manifold, quality
from genlab.metrics.memorisation import memorisation, nearest


def normal(n: int, d: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> Tensor:
    return shift + scale * torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Given(nn.Module):
    """Stands in for the feature network of torchmetrics: it passes features through."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def gaussian_frechet_distance(mu1: Tensor, cov1: Tensor, mu2: Tensor, cov2: Tensor) -> float:
    """The same distance from means (d,) and covariances (d, d), by the symmetric form tr (S_1^1/2 S_2 S_1^1/2)^1/2."""
    values, vectors = torch.linalg.eigh(cov1.double())
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ cov2.double() @ root).clamp_min(0).sqrt().sum()
    return float((mu1 - mu2).double().square().sum() + cov1.double().trace() + cov2.double().trace() - 2 * cross)


def everything(real: Tensor, generated: Tensor) -> dict[str, Estimate]:
    kernel = gaussian(median_distance(real))
    return {
        "fid": fid(real, generated),
        "kid": mmd(real, generated, CUBIC),
        "mmd": mmd(real, generated, kernel),
        **quality(manifold(real), manifold(generated)),
    }


def test_frechet_distance_of_two_gaussians_is_the_closed_form() -> None:
    d, n = 6, 200_000
    mix1, mix2 = normal(d, d, 0), normal(d, d, 1)
    mu1, mu2 = normal(1, d, 2), normal(1, d, 3)
    x, y = mu1 + normal(n, d, 4) @ mix1.T, mu2 + normal(n, d, 5) @ mix2.T
    exact = gaussian_frechet_distance(mu1[0], mix1 @ mix1.T, mu2[0], mix2 @ mix2.T)
    assert frechet_distance(x, y) == pytest.approx(exact, rel=0.01)
    # With the moments of the very samples the two agree to rounding: singular values against the symmetric closed form.
    moments = gaussian_frechet_distance(x.mean(0), x.T.cov(), y.mean(0), y.T.cov())
    assert frechet_distance(x, y) == pytest.approx(moments, rel=1e-9)


def test_frechet_distance_where_covariances_commute() -> None:
    """|dmu|^2 + sum_i (s_i - t_i)^2 for diagonal covariances."""
    s, t = torch.tensor([1.0, 2.0, 0.5]), torch.tensor([3.0, 0.1, 0.5])
    mu = torch.tensor([1.0, -2.0, 0.0])
    found = gaussian_frechet_distance(torch.zeros(3), s.square().diag(), mu, t.square().diag())
    assert found == pytest.approx(float(mu.square().sum() + (s - t).square().sum()), rel=1e-6)


def test_a_set_has_no_distance_to_itself() -> None:
    x = normal(300, 8, 0)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(x + 1e4, x + 1e4) == pytest.approx(0, abs=1e-5)
    # Unbiased statistics leave the diagonal of k(x, x') out but not that of k(x, y): the set against itself is below 0.
    assert mmd(x, x, CUBIC).value <= 0
    found = quality(manifold(x), manifold(x))
    assert {found[name].value for name in ("precision", "recall", "coverage")} == {1.0}


def test_frechet_distance_of_one_repeated_example_is_finite() -> None:
    x = normal(300, 8, 0)
    same = x[:1].repeat(300, 1)
    expected = float((x.mean(0) - x[0]).square().sum() + x.T.cov().trace())
    assert frechet_distance(x, same) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("m", [400, 12])  # with 12 samples of 16 features a covariance is singular
def test_frechet_distance_agrees_with_torchmetrics(m: int) -> None:
    x, y = normal(400, 16, 0, scale=3.0), normal(m, 16, 1, shift=0.1)
    other = FrechetInceptionDistance(feature=Given(16))
    other.update(x, real=True)
    other.update(y, real=False)
    assert frechet_distance(x, y) == pytest.approx(float(other.compute()), rel=1e-6)


def test_kid_agrees_with_torchmetrics_on_the_whole_set() -> None:
    x, y = normal(400, 16, 0), normal(400, 16, 1, shift=0.1)
    other = KernelInceptionDistance(feature=Given(16), subsets=1, subset_size=400)
    other.update(x, real=True)
    other.update(y, real=False)
    assert mmd(x, y, CUBIC).value == pytest.approx(float(other.compute()[0]), rel=1e-9)


@pytest.mark.parametrize("name", ["cubic", "gaussian"])
def test_mmd_is_the_sum_over_pairs(name: str) -> None:
    x, y = normal(37, 5, 0), normal(23, 5, 1, shift=0.5)
    kernel: Kernel
    if name == "cubic":
        kernel, matrix = CUBIC, lambda a, b: polynomial_kernel(a, b, degree=3, gamma=1 / 5, coef0=1)
    else:
        kernel, matrix = gaussian(1.7), lambda a, b: rbf_kernel(a, b, gamma=0.5 / 1.7**2)
    kxx, kyy, kxy = (torch.from_numpy(matrix(a.numpy(), b.numpy())) for a, b in ((x, x), (y, y), (x, y)))
    off = [(k.sum() - k.trace()) / (len(k) * (len(k) - 1)) for k in (kxx, kyy)]
    expected = float(off[0] + off[1] - 2 * kxy.mean())
    assert mmd(x, y, kernel).value == pytest.approx(expected, rel=1e-9)
    assert mmd(x, y, kernel, within(x, kernel)).value == pytest.approx(expected, rel=1e-9)


def test_mmd_of_two_gaussians_is_the_closed_form() -> None:
    """For N(0, I) against N(m, I) and a Gaussian kernel of width w: 2 (w^2/(w^2+2))^(d/2) (1 - exp(-|m|^2/(2 (w^2+2))))."""
    d, w, shift = 3, 1.5, 0.8
    exact = 2 * (w**2 / (w**2 + 2)) ** (d / 2) * (1 - math.exp(-d * shift**2 / (2 * (w**2 + 2))))
    found = mmd(normal(4000, d, 0), normal(4000, d, 1, shift=shift), gaussian(w))
    assert abs(found.value - exact) < 4 * found.stderr
    assert found.stderr < 0.05 * exact


def test_precision_and_its_kin_agree_with_a_search_tree() -> None:
    x, y, k = normal(200, 4, 0), normal(150, 4, 1, shift=1.0), 5
    radius = [NearestNeighbors(n_neighbors=k + 1).fit(z).kneighbors(z)[0][:, -1] for z in (x.numpy(), y.numpy())]
    distances = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
    in_x = distances <= torch.from_numpy(radius[0])[:, None]
    in_y = distances <= torch.from_numpy(radius[1])[None, :]
    found = quality(manifold(x, k), manifold(y, k))
    assert found["precision"].value == pytest.approx(float(in_x.any(0).double().mean()))
    assert found["recall"].value == pytest.approx(float(in_y.any(1).double().mean()))
    assert found["density"].value == pytest.approx(float(in_x.double().sum(0).mean() / k))
    assert found["coverage"].value == pytest.approx(float(in_x.any(1).double().mean()))


def test_density_and_coverage_of_equal_distributions_are_those_that_theory_gives() -> None:
    n, k = 2000, 5
    found = quality(manifold(normal(n, 3, 0), k), manifold(normal(n, 3, 1), k))
    expected = 1 - math.prod((n - 1 - i) / (2 * n - 1 - i) for i in range(k))
    assert found["coverage"].value == pytest.approx(expected, abs=4 * found["coverage"].stderr)
    assert found["density"].value == pytest.approx(1, abs=0.08)


def test_measures_know_a_collapsed_model_and_one_that_is_too_broad() -> None:
    x = normal(500, 4, 0)
    collapsed = quality(manifold(x), manifold(0.01 * normal(500, 4, 1)))
    assert collapsed["precision"].value == 1
    assert collapsed["recall"].value < 0.05
    assert collapsed["coverage"].value < 0.1
    broad = quality(manifold(x), manifold(normal(500, 4, 2, scale=5.0)))
    assert broad["precision"].value < 0.3
    assert broad["recall"].value > 0.8


def test_measures_do_not_depend_on_the_order_of_the_examples() -> None:
    x, y = normal(400, 6, 0), normal(300, 6, 1, shift=0.3)
    shuffle = torch.Generator().manual_seed(9)
    there = everything(x, y)
    back = everything(x[torch.randperm(400, generator=shuffle)], y[torch.randperm(300, generator=shuffle)])
    for name, measure in there.items():
        assert back[name].value == pytest.approx(measure.value, rel=1e-9), name


def test_measures_do_not_depend_on_the_size_of_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = normal(400, 6, 0), normal(300, 6, 1, shift=0.3)
    whole, found = everything(x, y), nearest(y, x)
    monkeypatch.setattr("genlab.metrics.kernels.BLOCK_ELEMENTS", 1000)
    for name, measure in everything(x, y).items():
        assert measure.value == pytest.approx(whole[name].value, rel=1e-9), name
        assert measure.stderr == pytest.approx(whole[name].stderr, rel=1e-6), name
    assert torch.equal(nearest(y, x).index, found.index)


@pytest.mark.parametrize("shift", [0.0, 0.4])
def test_standard_errors_cover_the_spread_over_20_repeated_evaluations(shift: float) -> None:
    """New generated examples each time, the real ones stay: the spread must not exceed what is reported.

    The standard deviation of 20 values is known to 16 %: a true spread as large as the error is found above 1.45 of it once in a
    few thousand times. Far above the spread the error would be of no use, so that is excluded too.
    """
    real = normal(500, 4, 0)
    found = [everything(real, normal(500, 4, 100 + i, shift=shift)) for i in range(20)]
    for name in found[0]:
        spread = float(torch.tensor([f[name].value for f in found]).std())
        reported = float(torch.tensor([f[name].stderr for f in found]).mean())
        assert spread < 1.45 * reported, name
        assert reported < 5 * spread, name


def test_bootstrap_intervals_cover_the_truth_as_often_as_they_say() -> None:
    """95 % intervals for a mean of skewed data: 200 trials, of which 1.96 standard errors should hold 94 % or so."""
    generator = torch.Generator().manual_seed(0)
    hits = 0
    for trial in range(200):
        x = torch.empty(100, dtype=torch.float64).exponential_(generator=generator)
        found, replicates = bootstrap(lambda v: float(v.mean()), x, replicates=200, seed=trial)
        assert len(replicates) == 200
        hits += abs(found.value - 1) < 1.96 * found.stderr
    assert 176 <= hits <= 199  # four standard deviations of a binomial about 0.935


def test_fid_intervals_cover_the_exact_distance_of_gaussians() -> None:
    """d = 2, n = 2,000: the bias d^2/n is far below the error, so that the interval must hold the truth."""
    exact, hits = 2 * 0.5**2, 0
    for trial in range(40):
        found = fid(normal(2000, 2, 2 * trial), normal(2000, 2, 2 * trial + 1, shift=0.5))
        hits += abs(found.value - exact) < 1.96 * found.stderr
    assert hits >= 33  # 0.95 of 40 less four standard deviations


def test_a_share_of_one_is_not_known_without_error() -> None:
    assert mean(torch.ones(31)).value == 1
    assert 0.01 < mean(torch.ones(31)).stderr < 0.05
    assert mean(torch.tensor([1.0, 0.0] * 5000)).stderr == pytest.approx(0.005, rel=1e-3)


def test_nearest_neighbours_are_exact_even_for_copies() -> None:
    known = torch.rand(500, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    found = nearest(known[[3, 400, 77]], known)
    assert found.index.tolist() == [3, 400, 77]
    assert found.distance.tolist() == [0, 0, 0]
    x = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    exact = torch.cdist(x.flatten(1).double(), known.flatten(1).double()).min(1)
    found = nearest(x, known)
    assert torch.equal(found.index, exact.indices)
    assert torch.allclose(found.distance.double(), exact.values, rtol=1e-5)


def test_memorisation_is_at_its_expected_share_for_independent_samples_and_one_for_copies() -> None:
    train, test, fresh = normal(3000, 5, 0), normal(1000, 5, 1), normal(2000, 5, 2)
    found = memorisation(nearest(fresh, train), nearest(fresh, test), 3000, 1000)
    assert found.expected == 0.75
    assert abs(found.nearest_is_train.value - 0.75) < 4 * found.nearest_is_train.stderr
    assert found.copies.value == 0
    copied = memorisation(nearest(train[:500], train), nearest(train[:500], test), 3000, 1000)
    assert copied.nearest_is_train.value == 1
    assert copied.copies.value == 1
    assert copied.train_distance.value == 0


def test_binary_samples_that_repeat_real_ones_are_no_sign_of_memory() -> None:
    """Of ten spins nearly every configuration is in both splits, several times."""
    generator = torch.Generator().manual_seed(0)
    train, test, fresh = ((torch.rand(n, 10, generator=generator) < 0.7).float() for n in (700, 100, 2000))
    near, far = nearest(fresh, train), nearest(fresh, test)
    assert torch.equal(
        near.count, (torch.cdist(fresh, train).round(decimals=3) == near.distance[:, None].round(decimals=3)).sum(1)
    )
    found = memorisation(near, far, 700, 100)
    assert abs(found.nearest_is_train.value - 0.875) < 5 * found.nearest_is_train.stderr + 0.01


def test_entropy_and_its_error() -> None:
    uniform = torch.full((10,), 0.1, dtype=torch.float64)
    assert entropy(uniform, 1000).value == pytest.approx(math.log(10) + 9 / 2000), "what noise would take on average"
    one = torch.tensor([1.0, 0.0], dtype=torch.float64)
    assert entropy(one, 1000) == (0, 0)
    generator = torch.Generator().manual_seed(0)
    for shares in (uniform, torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)):
        drawn = [
            entropy(histogram(torch.multinomial(shares, 500, True, generator=generator), len(shares)), 500)
            for _ in range(200)
        ]
        spread = float(torch.tensor([d.value for d in drawn]).std())
        assert drawn[0].stderr == pytest.approx(spread, rel=0.5)


def test_classes_reached_and_total_variation() -> None:
    real = torch.full((4,), 0.25, dtype=torch.float64)
    made = torch.tensor([0.5, 0.5, 0.0, 0.0], dtype=torch.float64)
    assert classes_reached(made, real, 1000).value == 0.5
    assert classes_reached(made, real, 1000).stderr < 1e-3
    assert total_variation(made, real, 1000, 1000).value == 0.5
    assert total_variation(real, real, 1000, 1000).value == 0
    on_the_line = torch.tensor([0.475, 0.475, 0.025, 0.025], dtype=torch.float64)
    assert classes_reached(on_the_line, real, 1000).stderr > 0.1


def test_classification_measures_agree_with_other_implementations() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(2000, 5, generator=generator)
    labels = torch.randint(5, (2000,), generator=generator)
    p = logits.softmax(1)
    confidence, predictions = p.max(1)
    theirs = MulticlassCalibrationError(num_classes=5, n_bins=15)(p, labels)
    assert calibration_error(confidence, predictions == labels) == pytest.approx(float(theirs), rel=1e-4)
    found = confusion_matrix(labels, predictions, 5)
    assert found.tolist() == sklearn_confusion(labels, predictions).tolist()
    by_class = accuracy_by_class(labels, predictions, 5)
    assert [m.value for m in by_class] == pytest.approx((found.diagonal() / found.sum(1)).tolist())
