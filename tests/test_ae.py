"""The autoencoder: the linear one against principal components, its losses against the lecture's formulas, its refusals."""

import pytest
import torch
from torch import Tensor

from genlab.data.batches import Batch
from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.models.ae import AE
from genlab.optimizers import Recipe, lbfgs
from tests.support import adam_recipe, small_data, spec_of


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
    }
    torch.manual_seed(0)
    return AE(data, optimizer or adam_recipe(), **(defaults | keys))  # type: ignore[arg-type]


def quasi_newton() -> Recipe:
    create = lbfgs(lr=1.0, max_iter=200, history_size=20, line_search_fn="strong_wolfe")
    return Recipe(create, schedule="constant", warmup=0.0, clip=None)


def points(n: int = 800) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(n, 5, generator=generator) @ torch.randn(5, 5, generator=generator) * 3 + 10


def test_linear_autoencoder_reaches_the_discarded_eigenvalues_and_spans_the_principal_subspace() -> None:
    x, q = points(), 2
    data = spec_of(x)
    model = build(data, quasi_newton(), hidden=[], output="identity", latent_dim=q)
    for _ in model.train_loop([Batch(x, None, 0.0)] * 5):
        pass
    centred = (x - x.mean(0)).double()
    eigenvalues, vectors = torch.linalg.eigh(centred.T @ centred / len(x))
    mse = model.evaluate(Batch(x, None, 1.0))["mse"].mean().item()
    assert mse == pytest.approx(eigenvalues[:-q].sum().item(), rel=1e-4)
    span, _ = torch.linalg.qr(model.decoder.last.weight.detach().double())
    principal = vectors[:, -q:]
    torch.testing.assert_close(span @ span.T, principal @ principal.T, atol=1e-2, rtol=0)


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


def test_lbfgs_is_refused_where_the_loss_has_noise() -> None:
    with pytest.raises(GenlabError, match=r"model\.noise=0\.5: optimizer=lbfgs"):
        build(small_data("grey").spec, quasi_newton(), noise=0.5)


def test_layers_mirror_each_other() -> None:
    model = build(small_data("grey").spec, hidden=[32, 16], latent_dim=4)
    widths = [tuple(p.shape) for p in model.parameters() if p.ndim == 2]
    assert widths == [(32, 64), (16, 32), (4, 16), (16, 4), (32, 16), (64, 32)]
