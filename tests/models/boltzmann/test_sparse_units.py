"""A sum of rows is the dense product, whatever the units are, and it is taken only where few of them are on."""

import pytest
import torch
from torch import Tensor

from genlab.models.boltzmann import sparse_units
from genlab.models.boltzmann.sparse_units import COLUMNS, affine_of, sum_of_rows


def units(n: int, rows: int, share: float) -> Tensor:
    return (torch.rand(n, rows, generator=torch.Generator().manual_seed(0)) < share).double()


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
@pytest.mark.parametrize("n", [1, 7])
@pytest.mark.parametrize("drawn", [True, False])
def test_it_is_the_dense_product(n: int, share: float, drawn: bool) -> None:
    u, W, b = units(n, 40, share), torch.randn(40, 13).double(), torch.randn(13).double()
    if not drawn:
        u *= torch.randn_like(u)  # means, or values of a user: not 0 and not 1
    with torch.no_grad():
        torch.testing.assert_close(sum_of_rows(b, u, W), b + u @ W, rtol=1e-13, atol=1e-13)
        out = torch.full((n, 13), 7.0).double()
        sum_of_rows(b, u, W, out=out)
    torch.testing.assert_close(out, b + u @ W, rtol=1e-13, atol=1e-13)


def test_values_whose_sum_is_their_number_are_no_ones() -> None:
    u, W = torch.tensor([[0.0, 0.5, 1.5]]), torch.randn(3, 5)
    with torch.no_grad():
        torch.testing.assert_close(sum_of_rows(torch.zeros(5), u, W), u @ W)


def test_it_is_taken_where_few_units_are_on(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []

    def noted(b: Tensor, u: Tensor, W: Tensor, *, out: Tensor | None = None) -> Tensor:
        taken.append(len(u))
        return sum_of_rows(b, u, W, out=out)

    monkeypatch.setattr(sparse_units, "sum_of_rows", noted)
    W, b = torch.randn(200, COLUMNS).double(), torch.zeros(COLUMNS).double()
    with torch.no_grad():
        affine_of(b, units(5, 200, 0.05), W)
        assert taken == [5]
        affine_of(b, units(5, 200, 0.5), W)  # spins
        affine_of(b[:9], units(5, 200, 0.05), W[:, :9])
    affine_of(b, units(5, 200, 0.05), W.requires_grad_())  # autograd knows the dense product
    assert taken == [5]
