"""The autoencoder: the linear one against principal components, its losses against the lecture's formulas, its refusals,
and the density of its codes that samples come from.
"""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from genlab.cli import main
from genlab.data.batches import Batch
from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.models.abilities import SamplesExPost
from genlab.models.base import GenerativeModel
from genlab.models.latent.ae import AE
from genlab.models.latent.ex_post import CAPACITY, CodeDensity
from genlab.models.latent.pca import PCA
from genlab.networks.mlp import MLP
from genlab.optimizers.algorithms import lbfgs
from genlab.optimizers.recipe import Recipe
from tests.helpers.support import adam_recipe, small_data, spec_of


def build(data: DataSpec, optimizer: Recipe | None = None, **keys: object) -> AE:
    defaults: dict[str, object] = {
        "latent_dim": 2,
        "hidden": [16],
        "network": "mlp",
        "activation": "relu",
        "output": "auto",
        "loss": "mse",
        "noise": 0.0,
        "sparsity": 0.0,
        "contraction": 0.0,
        "tied": False,
        "density": "mixture",
        "components": 3,
    }
    torch.manual_seed(0)
    return AE(data, optimizer or adam_recipe(), **(defaults | keys))  # type: ignore[arg-type]


def quasi_newton() -> Recipe:
    create = lbfgs(lr=1.0, max_iter=200, history_size=20, line_search_fn="strong_wolfe")
    return Recipe(create, schedule="constant", warmup=0.0, clip=None)


def points(n: int = 800) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(n, 5, generator=generator) @ torch.randn(5, 5, generator=generator) * 3 + 10


@pytest.mark.parametrize("tied", [False, True])
def test_linear_autoencoder_reaches_the_discarded_eigenvalues_and_spans_the_principal_subspace(tied: bool) -> None:
    x, q = points(), 2
    data = spec_of(x)
    model = build(data, quasi_newton(), hidden=[], output="identity", latent_dim=q, tied=tied)
    for _ in model.train_loop([Batch(x, None, 0.0)] * 5):
        pass
    centred = (x - x.mean(0)).double()
    eigenvalues, vectors = torch.linalg.eigh(centred.T @ centred / len(x))
    mse = model.evaluate(Batch(x, None, 1.0))["mse"].mean().item()
    assert mse == pytest.approx(eigenvalues[:-q].sum().item(), rel=1e-4)
    weight = model.decoder.last.weight
    assert isinstance(weight, Tensor)
    span, _ = torch.linalg.qr(weight.detach().double())
    assert torch.linalg.svdvals(span.T @ vectors[:, -q:]).min() > 0.9999, "cosine of the largest principal angle"
    # The family with the closed form finds the same subspace and the same error.
    pca = PCA(data, None, latent_dim=q, method="exact")
    for _ in pca.train_loop([Batch(x, None, 0.0)]):
        pass
    assert torch.linalg.svdvals(span.T @ pca.components.detach().double().T).min() > 0.9999
    assert mse == pytest.approx(pca.evaluate(Batch(x, None, 1.0))["mse"].mean().item(), rel=1e-4)


def test_losses_are_the_formulas_of_the_lecture() -> None:
    dataset = small_data("grey")
    x = dataset.represent(dataset.test.x[torch.arange(6)])
    for loss in ("mse", "bce"):
        model = build(dataset.spec, loss=loss)
        restored = model.reconstruct(x)
        if loss == "mse":
            expected = ((x - restored) ** 2).flatten(1).sum(1)
        else:
            expected = -(x * restored.log() + (1 - x) * (1 - restored).log()).flatten(1).sum(1)
        torch.testing.assert_close(model.evaluate(Batch(x, None, 1.0))["loss"], expected)
        metrics = next(iter(model.train_loop([Batch(x, None, 0.0)])))
        torch.testing.assert_close(metrics["loss"], expected.mean())


def test_cross_entropy_stays_finite_where_the_logarithm_of_the_output_would_not() -> None:
    dataset = small_data("binary")
    model = build(dataset.spec, loss="bce")
    with torch.no_grad():
        model.decoder.last.weight.mul_(1e4)
    x = dataset.represent(dataset.test.x[torch.arange(6)])
    assert (model.reconstruct(x) == 0).any()
    assert model.evaluate(Batch(x, None, 1.0))["loss"].isfinite().all()


@pytest.mark.parametrize(
    ("kind", "output", "loss", "fits"),
    [
        ("grey", "sigmoid", "mse", True),
        ("grey", "relu", "mse", True),
        ("grey", "leaky_relu", "mse", True),
        ("grey", "identity", "mse", True),
        ("grey", "sigmoid", "bce", True),
        ("grey", "identity", "bce", False),
        ("vectors", "sigmoid", "mse", False),
        ("vectors", "relu", "mse", False),
        ("vectors", "leaky_relu", "mse", True),
        ("vectors", "identity", "mse", True),
        ("vectors", "auto", "bce", False),
    ],
)
def test_an_output_that_cannot_reach_the_data_is_refused(kind: str, output: str, loss: str, fits: bool) -> None:
    data = small_data(kind).spec
    if fits:
        build(data, output=output, loss=loss)
    else:
        with pytest.raises(GenlabError, match=r"model\.(output|loss)=.*; set model\."):
            build(data, output=output, loss=loss)


def test_outputs_reach_what_their_activation_allows() -> None:
    for kind, output, low in (("grey", "relu", 0.0), ("grey", "sigmoid", 0.0), ("vectors", "identity", -1e9)):
        dataset = small_data(kind)
        x = dataset.represent(dataset.test.x[torch.arange(20)])
        assert build(dataset.spec, output=output).reconstruct(x).min() >= low


def test_denoising_restores_the_clean_data() -> None:
    """With x = one of two points far apart, noise cannot hide which one it was: the reconstruction is the clean point."""
    x = torch.cat([torch.full((200, 3), -4.0), torch.full((200, 3), 4.0)]) + 0.01 * torch.randn(400, 3)
    model = build(spec_of(x), adam_recipe(0.01), noise=1.0, latent_dim=1)
    for _ in model.train_loop([Batch(x, None, 0.0)] * 600):
        pass
    torch.manual_seed(1)
    restored = model.reconstruct(x + torch.randn_like(x))
    assert (restored - x).abs().mean() < 0.25  # the noise itself has mean absolute size 0.8


def test_sparsity_shrinks_the_code_and_is_reported_apart() -> None:
    dataset = small_data("grey")
    x = dataset.represent(dataset.train.x[torch.arange(200)])
    sizes = {}
    for weight in (0.0, 0.1):
        model = build(dataset.spec, adam_recipe(0.005), sparsity=weight, latent_dim=8)
        metrics = list(model.train_loop([Batch(x, None, 0.0)] * 300))[-1]
        penalty = metrics.get("sparsity_penalty", torch.zeros(()))
        assert (penalty > 0) == (weight > 0)
        torch.testing.assert_close(metrics["loss"], metrics["reconstruction_error"] + penalty)
        sizes[weight] = model.encode(x).abs().sum(1).mean().item()
    assert sizes[0.1] < 0.5 * sizes[0.0]


@pytest.mark.parametrize("key", ["noise", "contraction"])
def test_lbfgs_is_refused_where_the_loss_has_noise(key: str) -> None:
    with pytest.raises(GenlabError, match=rf"model\.{key}=0\.5: optimizer=lbfgs .*; set model\.{key}=0"):
        build(small_data("grey").spec, quasi_newton(), **{key: 0.5})


def test_layers_mirror_each_other() -> None:
    model = build(small_data("grey").spec, hidden=[32, 16], latent_dim=4)
    widths = [tuple(p.shape) for p in model.parameters() if p.ndim == 2]
    assert widths == [(32, 64), (16, 32), (4, 16), (16, 4), (32, 16), (64, 32)]


@pytest.mark.parametrize(("kind", "network"), [("vectors", "mlp"), ("grey", "conv")])
def test_the_contraction_is_unbiased_for_the_squared_jacobian(kind: str, network: str) -> None:
    dataset = small_data(kind)
    x = dataset.represent(dataset.test.x[torch.arange(3)])
    model = build(dataset.spec, hidden=[8], network=network, activation="tanh", latent_dim=4, contraction=1.0)
    jacobian = torch.autograd.functional.jacobian(lambda x: model.code(x), x)  # (n, q, n, *shape)
    exact = torch.stack([jacobian[i, :, i].square().sum() for i in range(len(x))])
    torch.manual_seed(0)
    draws = torch.stack([model.code_and_jacobian(x)[1].detach() for _ in range(2000)])
    error = draws.std(0) / len(draws) ** 0.5
    assert ((draws.mean(0) - exact).abs() < 5 * error + 1e-5 * exact).all()
    assert (error < 0.1 * exact).all()


def test_the_contraction_is_part_of_the_loss_with_its_gradient() -> None:
    """A linear code h = W x has ||dh/dx||^2 = ||W||^2, whose gradient 2 W is that of the expected penalty."""
    x = points()
    model = build(spec_of(x), hidden=[], latent_dim=2, contraction=0.3)
    assert isinstance(model.encoder, MLP)
    W = model.encoder.last.weight
    torch.manual_seed(0)
    gradients = []
    for _ in range(500):
        _, squares = model.code_and_jacobian(x)
        (gradient,) = torch.autograd.grad(0.3 * squares.mean(), W)
        gradients.append(gradient)
    expected = 0.6 * W.detach() / model.scaling.scale.square()
    torch.testing.assert_close(
        torch.stack(gradients).mean(0), expected, rtol=0.02, atol=0.02 * float(expected.abs().max())
    )
    metrics = next(iter(model.train_loop([Batch(x, None, 0.0)])))
    torch.testing.assert_close(metrics["loss"], metrics["reconstruction_error"] + metrics["contraction_penalty"])
    measured = model.evaluate(Batch(x, None, 1.0))
    assert (measured["loss"] > measured["reconstruction_error"]).all()


def test_contraction_shrinks_the_jacobian_of_a_tied_network() -> None:
    dataset = small_data("grey")
    x = dataset.represent(dataset.train.x[torch.arange(200)])
    sizes = {}
    for weight in (0.0, 0.1):
        model = build(dataset.spec, adam_recipe(0.005), contraction=weight, latent_dim=8, activation="tanh", tied=True)
        for _ in model.train_loop([Batch(x, None, 0.0)] * 200):
            pass
        sizes[weight] = model.code_and_jacobian(x)[1].mean().item()
    assert sizes[0.1] < 0.7 * sizes[0.0]


def test_tied_layers_are_transposes_and_stay_so() -> None:
    dataset = small_data("grey")
    x = dataset.represent(dataset.train.x[torch.arange(64)])
    model = build(dataset.spec, hidden=[32, 16], latent_dim=4, tied=True)
    widths = [tuple(p.shape) for p in model.parameters() if p.ndim == 2]
    assert widths == [(32, 64), (16, 32), (4, 16)], "no weight matrices but the encoder's"
    assert len(model.state_dict()) == len(set(model.state_dict()))
    for _ in model.train_loop([Batch(x, None, 0.0)] * 3):
        pass
    weights = [p for p in model.encoder.parameters() if p.ndim == 2]
    biases = list(model.decoder.parameters())
    assert [len(b) for b in biases] == [16, 32, 64]
    h = model.encode(x)
    hidden = torch.relu(h @ weights[2] + biases[0])
    out = torch.relu(hidden @ weights[1] + biases[1]) @ weights[0] + biases[2]
    torch.testing.assert_close(model.decode(h), out.sigmoid().view_as(x))
    assert not torch.equal(biases[0], torch.zeros(16)), "the biases are trained"


def test_tied_convolutions_are_refused_with_a_remedy() -> None:
    with pytest.raises(GenlabError, match=r"model\.tied=true: .*; set model\.network=mlp or model\.tied=false"):
        build(small_data("colour").spec, hidden=None, network="auto", tied=True)


def test_more_codes_than_components_are_allowed() -> None:
    dataset = small_data("vectors")
    x = dataset.represent(dataset.test.x[torch.arange(6)])
    assert build(dataset.spec, latent_dim=20).encode(x).shape == (6, 20)


def test_it_samples_and_says_how() -> None:
    dataset = small_data("grey")
    model = build(dataset.spec)
    assert isinstance(model, GenerativeModel)
    assert isinstance(model, SamplesExPost)
    assert "for lack of codes" in model.ex_post
    x = dataset.represent(dataset.train.x[torch.arange(20)])
    for expected in ("Gaussian fitted to the newest 20 codes", "mixture of 3 Gaussians fitted to the newest 40 codes"):
        next(iter(model.train_loop([Batch(x, None, 0.0)])))
        assert expected in model.ex_post
        assert model.sample(7).shape == (7, *dataset.spec.shape)


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_the_codes_that_are_kept_are_those_of_clean_examples(noise: float) -> None:
    dataset = small_data("grey")
    x = dataset.represent(dataset.train.x[torch.arange(30)])
    model = build(dataset.spec, adam_recipe(1e-12), noise=noise)
    for _ in model.train_loop([Batch(x[:20], None, 0.0), Batch(x[20:], None, 0.5)]):
        pass
    torch.testing.assert_close(model.code_density.ring[:30], model.encode(x), rtol=1e-4, atol=1e-5)
    assert int(model.code_density.written) == 30


def test_the_ring_keeps_the_newest_codes() -> None:
    codes = CodeDensity(1, "gaussian", 1)
    numbers = torch.arange(2 * CAPACITY + 700.0).unsqueeze(1)
    for part in numbers.split(900):
        codes.add(part)
    assert torch.equal(codes.ring.flatten().sort().values, numbers.flatten()[-CAPACITY:])
    codes.add(numbers - 1e6)  # more at once than there is room for
    assert torch.equal(codes.ring.flatten().sort().values, numbers.flatten()[-CAPACITY:] - 1e6)


def test_sampled_codes_have_the_moments_of_the_kept_ones() -> None:
    """Both densities reproduce mean and covariance; the mixture reproduces two clusters as well, the Gaussian fills the gap."""
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(3, 3, generator=generator)
    h = torch.randn(6000, 3, generator=generator) @ mixing
    h[::3] += torch.tensor([20.0, 0.0, 5.0])
    n = 50_000
    across = torch.linalg.solve(mixing.T @ mixing, torch.tensor([20.0, 0.0, 5.0]))
    across /= across @ torch.tensor([20.0, 0.0, 5.0])  # the clusters lie at 0 and 1, far apart beside their widths
    between = {}
    for density in ("gaussian", "mixture"):
        codes = CodeDensity(3, density, 2)
        codes.add(h)
        torch.manual_seed(1)
        drawn = codes.sample(n)
        cov = torch.cov(h.T, correction=0)
        assert ((drawn.mean(0) - h.mean(0)).abs() < 5 * (cov.diagonal() / n).sqrt()).all()
        torch.testing.assert_close(torch.cov(drawn.T), cov, rtol=0.05, atol=0.05 * float(cov.max()))
        place = drawn @ across
        between[density] = ((place > 0.4) & (place < 0.6)).float().mean().item()
    assert between["gaussian"] > 0.1
    assert between["mixture"] < 0.002


def test_the_density_is_fitted_once_and_without_torchs_random_numbers() -> None:
    codes = CodeDensity(4, "mixture", 3)
    codes.add(torch.randn(500, 4, generator=torch.Generator().manual_seed(0)))
    torch.manual_seed(0)
    first = codes.sample(10)
    fitted = codes._fitted
    torch.manual_seed(0)
    assert torch.equal(codes.sample(10), first)
    assert codes._fitted is fitted
    again = CodeDensity(4, "mixture", 3)
    again.load_state_dict(codes.state_dict())
    torch.manual_seed(0)
    assert torch.equal(again.sample(10), first)
    again.load_state_dict({"ring": codes.ring + 1, "written": codes.written})  # as many codes, but others
    torch.manual_seed(0)
    torch.testing.assert_close(again.sample(10), first + 1, rtol=0, atol=1e-3)


@pytest.mark.parametrize("count", [0, 1, 2, 30, 200])
def test_degenerate_codes_can_be_drawn_from(count: int) -> None:
    for h in (torch.zeros(count, 3), torch.arange(3.0 * count).view(count, 3), torch.full((count, 3), float("nan"))):
        codes = CodeDensity(3, "mixture", 2)
        codes.add(h)
        assert codes.sample(20).isfinite().all()


def test_evaluation_and_comparison_mark_samples_that_were_made_ex_post(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    words = ["model=ae", "train.examples=600", "model.hidden=[16]", "model.latent_dim=2", f"hydra.run.dir={run}"]
    assert main(["train", *words]) == 0
    assert main(["sample", f"run={run}", f"hydra.run.dir={tmp_path / 'sample'}"]) == 0
    assert {"samples", "manifold"} <= {path.stem for path in (tmp_path / "sample").glob("*.png")}
    capsys.readouterr()
    assert main(["evaluate", f"run={run}", "n=60", f"hydra.run.dir={tmp_path / 'evaluate'}"]) == 0
    assert "ex post, from a mixture of 10 Gaussians" in " ".join(capsys.readouterr().out.split())
    facts = json.loads((run / "evaluation" / "evaluation.json").read_text())
    assert facts["ex_post"].endswith("fitted to the newest 640 codes of the training")
    assert main(["compare", str(run), "--out", str(tmp_path / "out")]) == 0
    assert "ae †" in capsys.readouterr().out
    text = (tmp_path / "out" / "table.md").read_text()
    assert "| ae † |" in text.partition("## Sample quality")[2].partition("##")[0]
    assert "| ae |" in text.partition("## Reconstruction")[2].partition("##")[0], "no sample takes part there"
    assert "ae $\\dagger$" in (tmp_path / "out" / "table.tex").read_text()
    assert "† ae: no generative model" in (tmp_path / "out" / "index.html").read_text()
