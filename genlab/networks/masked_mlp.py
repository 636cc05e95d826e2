"""Masked perceptron, MADE (Germain et al. 2015): weights are set to 0 so that output i sees only inputs before i.

With p(i) the position of component i in the order, each hidden unit has a degree m in {0, ..., D-2} and sees the inputs with
p <= m and the units of the layer before with degrees up to m. Output i sees the units with m < p(i), and the inputs with
p < p(i) directly. All D conditional distributions then come from one pass.

Several sets of masks share the weights: another connectivity each, and another order where `shuffle` says so. Each set is a
normalised model of its own. A class enters the first layer and the output.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genlab.networks.causal import CausalNetwork, Draw
from genlab.networks.mlp import ACTIVATIONS, Activation

MOST_DIRECT = 2**22  # weights from inputs to outputs; with more there are none


class MaskedLinear(nn.Module):
    """Affine map with W_ij = 0 where unit i may not see unit j."""

    masks: Tensor

    def __init__(self, n_in: int, n_out: int, masks: Tensor, *, bias: bool = True) -> None:
        """`masks` are those of each set, bool, (sets, n_out, n_in)."""
        super().__init__()
        plain = nn.Linear(n_in, n_out, bias=bias)
        self.weight, self.bias = plain.weight, plain.bias
        self.register_buffer(
            "masks", masks.to(plain.weight.dtype), persistent=False
        )  # of floats: products with bools are slower

    def masked(self, which: Tensor | int) -> Tensor:
        """The weights of one set, (n_out, n_in)."""
        mask = self.masks[which] if isinstance(which, int) else self.masks.index_select(0, which)[0]
        return self.weight * mask

    def forward(self, x: Tensor, which: Tensor | int) -> Tensor:
        return F.linear(x, self.masked(which), self.bias)


class MaskedMLP(CausalNetwork):
    positions: Tensor
    degrees: list[Tensor]

    def __init__(
        self,
        order: Tensor,
        hidden: Sequence[int],
        outputs: int,
        activation: Activation,
        num_classes: int = 0,
        *,
        masks: int = 1,
        shuffle: bool = False,
        seed: int = 0,
        direct: bool = True,
    ) -> None:
        """`order` is that of the first set of masks, int64, (D,); with `shuffle` the other sets have random ones, by `seed`.

        Outputs are 0 at the start. `direct`: with weights from inputs to outputs, where these are not too many.
        """
        super().__init__()
        dim, self.outputs, self.masks = len(order), outputs, masks
        generator = torch.Generator().manual_seed(seed)
        orders = [order]
        for _ in range(masks - 1):
            orders.append(torch.randperm(dim, generator=generator) if shuffle else order)
        self.register_buffer("order", order.clone())
        self.register_buffer("positions", torch.stack([one.argsort() for one in orders]))
        self.degrees = [_degrees(width, dim, masks, generator) for width in hidden]
        self.act = ACTIVATIONS[activation]()
        layers, seen = [], self.positions
        for width, degrees in zip(hidden, self.degrees, strict=True):
            layers.append(MaskedLinear(seen.shape[1], width, degrees.unsqueeze(2) >= seen.unsqueeze(1)))
            seen = degrees
        self.layers = nn.ModuleList(layers)
        of_outputs = self.positions.repeat(1, outputs).unsqueeze(2)
        self.out: MaskedLinear = MaskedLinear(seen.shape[1], outputs * dim, of_outputs > seen.unsqueeze(1))
        self.direct: MaskedLinear | None = None
        if direct and outputs * dim**2 <= MOST_DIRECT:
            self.direct = MaskedLinear(dim, outputs * dim, of_outputs > self.positions.unsqueeze(1), bias=False)
        self.of_class = nn.Linear(num_classes, hidden[0], bias=False) if num_classes else None
        self.out_of_class = nn.Linear(num_classes, outputs * dim, bias=False) if num_classes else None
        for last in (self.out, self.direct, self.out_of_class):
            for parameter in () if last is None else last.parameters():
                nn.init.zeros_(parameter)

    @property
    def stops(self) -> int:
        return len(self.order)

    def orders(self) -> list[list[int]]:
        found: list[list[int]] = self.positions.argsort(1).tolist()
        return found

    def forward(self, u: Tensor, y: Tensor | None, which: Tensor | int = 0) -> Tensor:
        first, *others = self.layers
        h = first(u, which)
        if self.of_class is not None:
            h = h + self.of_class(_like(y, u))
        h = self.act(h)
        for layer in others:
            h = self.act(layer(h, which))
        out = self.out(h, which)
        if self.direct is not None:
            out = out + self.direct(u, which)
        if self.out_of_class is not None:
            out = out + self.out_of_class(_like(y, u))
        parameters: Tensor = out.unflatten(1, (self.outputs, -1))
        return parameters

    @property
    def masked_layers(self) -> list[MaskedLinear]:
        return [layer for layer in self.layers if isinstance(layer, MaskedLinear)]

    @torch.no_grad()
    def walk(self, n: int, draw: Draw, y: Tensor | None, which: int = 0) -> Iterator[Tensor]:
        """Each hidden unit is computed once: as soon as the inputs that it sees are known."""
        weight = self.masked_layers[0].weight
        dim, zeros, layers = len(self.order), weight.new_zeros, self.masked_layers
        order = self.positions[which].argsort()
        u = zeros(n, dim)
        # Units in the order of their degrees: those of degree m are a slice.
        sort = [degrees[which].argsort(stable=True).to(weight.device) for degrees in self.degrees]
        ends = [
            torch.searchsorted(degrees[which].sort().values, torch.arange(dim), right=True).tolist()
            for degrees in self.degrees
        ]
        first = weight[sort[0]][:, order].t().contiguous()  # a row for each input
        between = [
            layer.weight[after][:, before] for layer, before, after in zip(layers[1:], sort[:-1], sort[1:], strict=True)
        ]
        biases = [layer.bias[places] for layer, places in zip(layers, sort, strict=True)]
        last = self.out.weight[:, sort[-1]].unflatten(0, (self.outputs, dim))[:, order].transpose(0, 1).contiguous()
        bias = self.out.bias.unflatten(0, (self.outputs, dim))[:, order].t().contiguous()
        direct = None
        if self.direct is not None:
            rows = self.direct.weight.unflatten(0, (self.outputs, dim))[:, order]
            direct = rows[:, :, order].transpose(0, 1).contiguous()
        sums = biases[0].expand(n, -1).clone()  # of the first layer, over the inputs so far
        of_class = None
        if self.of_class is not None and self.out_of_class is not None:
            sums += self.of_class(_like(y, u))[:, sort[0]]
            of_class = self.out_of_class(_like(y, u)).unflatten(1, (self.outputs, dim))[:, :, order]
        hs = [zeros(n, len(places)) for places in sort]
        values = zeros(n, dim)  # u in the order in which it is drawn
        done = [0] * len(hs)
        for position, i in enumerate(order.tolist()):
            if position > 0:  # the units of degree position - 1 see all that they may see
                end = ends[0][position - 1]
                sums[:, done[0] :].addr_(values[:, position - 1], first[position - 1, done[0] :])
                hs[0][:, done[0] : end] = self.act(sums[:, done[0] : end])
                done[0] = end
                for k, w in enumerate(between, 1):
                    start, end, below = done[k], ends[k][position - 1], done[k - 1]
                    if end > start:
                        part = torch.addmm(biases[k][start:end], hs[k - 1][:, :below], w[start:end, :below].t())
                        hs[k][:, start:end] = self.act(part)
                        done[k] = end
            out = torch.addmm(bias[position], hs[-1][:, : done[-1]], last[position, :, : done[-1]].t())
            if direct is not None:
                out = torch.addmm(out, values[:, :position], direct[position, :, :position].t())
            if of_class is not None:
                out = out + of_class[:, :, position]
            values[:, position] = u[:, i] = draw(out, i)
            yield u


def _like(y: Tensor | None, u: Tensor) -> Tensor:
    assert y is not None, "a conditional network is given classes"
    return y.to(u.dtype)


def _degrees(width: int, dim: int, masks: int, generator: torch.Generator) -> Tensor:
    """Degrees of the units of a layer in each set of masks, (masks, width): spread evenly, in random places but for the first."""
    even = torch.arange(width) * max(dim - 1, 1) // width
    return torch.stack([even, *(even[torch.randperm(width, generator=generator)] for _ in range(masks - 1))])
