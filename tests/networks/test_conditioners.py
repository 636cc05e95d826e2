"""Networks of the layers of a flow: zeros at the start, shapes, classes, masks."""

import pytest
import torch
from torch import Tensor, nn

from genlab.networks.conditioners import GridConditioner, VectorConditioner
from genlab.networks.masked_mlp import MaskedMLP

CLASSES = 3


def networks(num_classes: int) -> dict[str, tuple[nn.Module, Tensor, tuple[int, ...]]]:
    """Name -> network, its input, and the shape of its output."""
    return {
        "vector": (VectorConditioner(2, 3, 5, [8], "relu", num_classes), torch.randn(4, 2), (4, 5, 3)),
        "nothing": (VectorConditioner(0, 1, 5, [8], "relu", num_classes), torch.randn(4, 0), (4, 5, 1)),
        "picture": (
            GridConditioner(2, 3, 5, [8, 8], "relu", num_classes, 2),
            torch.randn(4, 2, 6, 3),
            (4, 5, 3, 6, 3),
        ),
        "curve": (GridConditioner(2, 1, 5, [8], "relu", num_classes, 1), torch.randn(4, 2, 7), (4, 5, 1, 7)),
        "masked": (
            MaskedMLP(torch.arange(3), [8, 8], 5, "relu", num_classes),
            torch.randn(4, 3),
            (4, 5, 3),
        ),
    }


@pytest.mark.parametrize("num_classes", [0, CLASSES])
@pytest.mark.parametrize("name", networks(0))
def test_numbers_are_0_at_the_start_and_depend_on_the_class(name: str, num_classes: int) -> None:
    torch.manual_seed(0)
    network, x, shape = networks(num_classes)[name]
    y = torch.eye(CLASSES)[torch.tensor([0, 1, 2, 0])] if num_classes else None
    assert network(x, y).shape == shape
    assert torch.equal(network(x, y), torch.zeros(shape))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter))
        if y is not None:
            assert not torch.allclose(network(x, y), network(x, y.roll(1, 0)))


def test_dropout_acts_while_training_only() -> None:
    torch.manual_seed(0)
    network = GridConditioner(2, 2, 1, [32], "relu", 0, 2, dropout=0.5)
    nn.init.normal_(network.network[-1].weight)  # type: ignore[arg-type]
    x = torch.randn(3, 2, 4, 4)
    assert not torch.equal(network(x, None), network(x, None))
    network.eval()
    assert torch.equal(network(x, None), network(x, None))
