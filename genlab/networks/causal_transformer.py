"""A causal network over short sequences of symbols: p(z) = prod_i p(z_i|z_1..z_{i-1}) for z_i in {0, ..., K-1}.

A transformer (Vaswani et al. 2017, with the normalisation before each branch) in which position i attends to positions up to i.
Its input at position i is the symbol z_{i-1}, so that its output there, the logits of p(z_i|z_<i), does not depend on z_i and
later symbols. The input at position 1 is a constant. Sequences have one fixed length, so each position has a table of embeddings
and a matrix of output weights of its own: a symbol may have another meaning at each position, at no cost in arithmetic.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genlab.networks.dropout import Dropout

Cache = tuple[Tensor, Tensor]
"""Keys and values of all positions, each (n, heads, length, width/heads), of which those up to the current one are written."""

HEAD_WIDTH = 32  # of an attention head, where the width of the network allows it


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)): (n, length, width) -> the same. Both branches start at 0."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.dropout = Dropout(dropout)
        for layer in (self.mix, self.mlp[-1]):
            assert isinstance(layer, nn.Linear)
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self._split(x)
        x = x + self.dropout(self._merge(F.scaled_dot_product_attention(q, k, v, is_causal=True)))
        out: Tensor = x + self.dropout(self.mlp(self.before_mlp(x)))
        return out

    def step(self, x: Tensor, i: int, cache: Cache) -> Tensor:
        """The same for position i alone, x of shape (n, 1, width), with the earlier positions in the cache."""
        keys, values = cache
        q, k, v = self._split(x)
        keys[:, :, i : i + 1], values[:, :, i : i + 1] = k, v
        x = x + self._merge(F.scaled_dot_product_attention(q, keys[:, :, : i + 1], values[:, :, : i + 1]))
        out: Tensor = x + self.mlp(self.before_mlp(x))
        return out

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = self.qkv(self.before_attention(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return q, k, v

    def _merge(self, x: Tensor) -> Tensor:
        out: Tensor = self.mix(x.transpose(1, 2).flatten(2))
        return out


class CausalTransformer(nn.Module):
    """p(z) of sequences z (n, length) of int64 symbols below `symbols`."""

    def __init__(self, length: int, symbols: int, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        heads = next(heads for heads in range(max(1, width // HEAD_WIDTH), 0, -1) if width % heads == 0)
        self.length, self.symbols, self.width, self.heads = length, symbols, width, heads
        self.embedding = nn.Embedding(length * symbols, width)
        self.position_embedding = nn.Parameter(0.02 * torch.randn(length, width))
        self.dropout = Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.weight = nn.Parameter(torch.zeros(length, width, symbols))  # the uniform distribution at the start
        self.bias = nn.Parameter(torch.zeros(length, 1, symbols))
        nn.init.normal_(self.embedding.weight, std=0.3)

    def forward(self, z: Tensor) -> Tensor:
        """Logits of p(z_i|z_<i), shape (n, length, symbols)."""
        rows = z[:, :-1] + self.symbols * torch.arange(self.length - 1, device=z.device)
        x = self.dropout(self.position_embedding + F.pad(self.embedding(rows), (0, 0, 1, 0)))
        for block in self.blocks:
            x = block(x)
        rows_by_position = self.norm(x).transpose(0, 1)
        return torch.baddbmm(self.bias, rows_by_position, self.weight).transpose(0, 1)

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats, shape (n,)."""
        logits: Tensor = self(z).float()
        nll = F.cross_entropy(logits.flatten(0, 1), z.flatten(), reduction="none")
        return -nll.view(z.shape).sum(1)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """z ~ p(z), shape (n, length), one position after the other, with keys and values of earlier ones in a cache."""
        device = self.position_embedding.device
        shape = (n, self.heads, self.length, self.width // self.heads)
        caches = [(torch.empty(shape, device=device), torch.empty(shape, device=device)) for _ in self.blocks]
        z = torch.empty(n, self.length, dtype=torch.int64, device=device)
        for i in range(self.length):
            x = (
                self.position_embedding[i].detach().expand(n, 1, -1)
            )  # a view of a parameter would require a gradient even here
            if i > 0:
                x = x + self.embedding(z[:, i - 1 : i] + self.symbols * (i - 1))
            for block, cache in zip(self.blocks, caches, strict=True):
                assert isinstance(block, Block)
                x = block.step(x, i, cache)
            logits = self.norm(x[:, 0]) @ self.weight[i] + self.bias[i]
            z[:, i] = torch.multinomial(logits.float().softmax(1), 1)[:, 0]
        return z
