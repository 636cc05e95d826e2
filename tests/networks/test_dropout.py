"""Dropout keeps each unit with its probability, independently, and scales what it keeps."""

import pytest
import torch

from genlab.networks.dropout import Dropout


@pytest.mark.parametrize("p", [0.05, 0.3, 0.9])
@pytest.mark.parametrize(
    ("shape", "dtype"), [((40, 500), torch.float32), ((10, 8, 50, 50), torch.float32), ((99, 301), torch.bfloat16)]
)
def test_units_are_kept_with_their_probability(p: float, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = torch.ones(shape, dtype=dtype, requires_grad=True)
    out = Dropout(p)(x)
    assert out.dtype == dtype
    kept = out.detach() != 0
    torch.testing.assert_close(out.detach()[kept].float().unique(), torch.tensor([1 / (1 - p)]), rtol=4e-3, atol=0)
    n = kept.numel()
    assert abs(int(kept.sum()) - n * (1 - p)) < 4 * (n * p * (1 - p)) ** 0.5
    # Neighbours along the last axis are independent of each other, and so are two calls.
    for a, b in ((kept[..., 1:], kept[..., :-1]), (kept, Dropout(p)(x).detach() != 0)):
        covariance = ((a.float() - (1 - p)) * (b.float() - (1 - p))).mean()
        assert abs(float(covariance)) < 4 * p * (1 - p) / a.numel() ** 0.5
    (gradient,) = torch.autograd.grad(out.sum(), x)
    assert torch.equal(gradient, out.detach())


def test_it_does_nothing_where_nothing_is_dropped() -> None:
    x = torch.randn(5, 7)
    assert torch.equal(Dropout(0.5).eval()(x), x)
    assert torch.equal(Dropout(0.0)(x), x)
    assert torch.equal(Dropout(1.0)(x), torch.zeros(5, 7))


def test_the_same_generator_gives_the_same_units() -> None:
    first, second = (Dropout(0.4)(torch.ones(1000)) for _ in range(2) if torch.manual_seed(3))
    assert torch.equal(first, second)
