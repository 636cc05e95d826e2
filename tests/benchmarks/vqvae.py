"""One epoch of a VQ-VAE 784-512-8x16 with a codebook of 256 on 55,000 MNIST images, batches of 128, Adam at 1e-3, on the CPU.

The same encoder, decoder and codebook, which follows running means, for all. genlab trains the prior of the codes at the same
time; the others train the autoencoder alone, after which there is nothing to draw samples from. So genlab stands here twice: as
it is, beside a textbook that trains such a prior in a second pass, and in a loop of this file without the prior, beside pythae
and the textbook's first pass. genlab also binarises every batch anew and revives vectors that are hardly chosen; its 430th batch
runs on into the next epoch, where that of the others is short.
"""

import importlib
import time
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genlab.data.batches import Batches
from genlab.data.dataset import Dataset
from genlab.models.latent.codebook import straight_through
from genlab.models.latent.vqvae import VQVAE
from tests.benchmarks.autoencoder import pythae_networks
from tests.benchmarks.contest import Contest, Options, Seconds, absent, has
from tests.benchmarks.vae import CPU, bare, genlab, loader_of, pythae_loop
from tests.helpers.support import configure, make_dataset, make_model

EPOCH, BATCH, LR = 55_000, 128, 1e-3
HIDDEN, POSITIONS, DIM, CODEBOOK, COMMITMENT, DECAY = 512, 8, 16, 256, 0.25, 0.99
WIDTH, DEPTH, HEADS = 64, 2, 2

OVERRIDES = [
    "model=vqvae",
    "dataset=mnist",
    "dataset.validation=5000",
    "device=cpu",
    f"model.hidden=[{HIDDEN}]",
    f"model.positions={POSITIONS}",
    f"model.code_dim={DIM}",
    f"model.codebook={CODEBOOK}",
    f"model.commitment={COMMITMENT}",
    f"model.decay={DECAY}",
    f"model.prior_width={WIDTH}",
    f"model.prior_depth={DEPTH}",
    f"train.batch_size={BATCH}",
    "optimizer=adam",
    f"optimizer.lr={LR}",
    "optimizer.schedule=constant",
    f"train.log_every={EPOCH // 20}",
]

ABOUT = {
    "genlab": "the trainer with all logging: 20 records, TensorBoard, 2 checkpoints; with the prior of the codes",
    "genlab + evaluation": "the same, pictures, and the bounds of 5,000 validation and 10,000 test images",
    "bare": "genlab's model, batches and optimizers with nothing around them",
    "textbook + prior": "textbook, and a second pass that trains a causal nn.TransformerEncoder on the codes",
    "bare, no prior": "genlab's autoencoder alone, nothing around it",
    "pythae": "pythae's VQVAE with the same layers, use_ema, and its BaseTrainer, which copies and saves no model here",
    "textbook": "torchvision's MNIST, ToTensor and DataLoader, loss.item() each step; the autoencoder alone",
}


def contest(options: Options) -> Contest:
    config = configure(*OVERRIDES)
    dataset = make_dataset(config)
    loops: dict[str, Any] = {
        "genlab": partial(genlab, config, dataset),
        "bare": partial(bare, config, dataset),
        "bare, no prior": partial(without_prior, config, dataset),
    }
    if has("pythae"):
        assert isinstance(dataset.train.x, Tensor)
        loops["pythae"] = partial(pythae, dataset.train.x.float() / 255, options.workers)
    peers = ["textbook", *(["pythae"] if has("pythae") else [])]
    loops["textbook + prior"] = partial(textbook, config["dataset"]["root"], options.workers)
    return Contest(
        title=f"VQ-VAE 784-{HIDDEN}-{POSITIONS}x{DIM} of MNIST, {CODEBOOK} vectors, batches of {BATCH}",
        images=EPOCH,
        loops=loops,
        about=ABOUT,
        absent=absent("pythae"),
        shares={f"{peer}, no prior: longer by": (peer, "bare, no prior") for peer in peers},
    )


def without_prior(config: dict[str, Any], dataset: Dataset, images: int) -> Seconds:
    """The lines of VQVAE.train_loop that concern the autoencoder."""
    model = make_model(config, dataset.spec)
    assert isinstance(model, VQVAE)
    batches = Batches(dataset.train, dataset.represent, batch_size=BATCH, examples=images, seed=0, device=CPU)
    optimizer, codebook, seeded = model.optimizers["vqvae"], model.codebook, False
    start = time.perf_counter()
    for batch in batches:
        z_e = model.features(batch.x)
        if not seeded:
            codebook.seed(z_e)
            seeded = True
        z = codebook.nearest(z_e)
        z_q = codebook.lookup(z)
        reconstruction = model.log_likelihood(straight_through(z_e, z_q), batch.x).mean()
        commitment = COMMITMENT * (z_e - z_q).square().sum((1, 2)).mean()
        model.descend(optimizer, commitment - reconstruction)
        codebook.update(z_e.detach(), z)
    return {"bare, no prior": time.perf_counter() - start}


def encoder() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, POSITIONS * DIM))


def decoder() -> nn.Sequential:
    return nn.Sequential(nn.Linear(POSITIONS * DIM, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 784))


def pythae(x: Tensor, workers: int, images: int) -> Seconds:
    """`x` are the grey values in [0, 1]. pythae quantises a grid (n, dim, positions, 1) of vectors."""
    models = importlib.import_module("pythae.models")
    settings = models.VQVAEConfig(
        input_dim=(1, 28, 28),
        latent_dim=POSITIONS * DIM,
        num_embeddings=CODEBOOK,
        commitment_loss_factor=COMMITMENT,
        use_ema=True,
        decay=DECAY,
    )
    networks = pythae_networks(
        nn.Sequential(encoder(), nn.Unflatten(1, (DIM, POSITIONS, 1))),
        nn.Sequential(nn.Flatten(), decoder(), nn.Sigmoid(), nn.Unflatten(1, (1, 28, 28))),
    )
    return pythae_loop(models.VQVAE(settings, *networks), x[:images], workers, BATCH, LR, save=False)


class TextbookVQVAE(nn.Module):
    """As tutorials have it: distances to all vectors, a one-hot product, running means of counts and sums."""

    embedding: Tensor
    counts: Tensor
    sums: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder(), decoder()
        self.register_buffer("embedding", torch.randn(CODEBOOK, DIM))
        self.register_buffer("counts", torch.zeros(CODEBOOK))
        self.register_buffer("sums", self.embedding.clone())

    def quantise(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The encoder's vectors (n * positions, dim), and the number of the nearest one of the codebook for each."""
        z_e = self.encoder(x).view(-1, DIM)
        distances = (
            z_e.pow(2).sum(1, keepdim=True) + self.embedding.pow(2).sum(1) - 2 * torch.matmul(z_e, self.embedding.t())
        )
        return z_e, torch.argmin(distances, dim=1)

    def loss(self, x: Tensor) -> Tensor:
        z_e, z = self.quantise(x)
        chosen = F.one_hot(z, CODEBOOK).float()
        z_q = torch.matmul(chosen, self.embedding)
        with torch.no_grad():
            self.counts = DECAY * self.counts + (1 - DECAY) * chosen.sum(0)
            self.sums = DECAY * self.sums + (1 - DECAY) * torch.matmul(chosen.t(), z_e)
            n = self.counts.sum()
            smooth = (self.counts + 1e-5) / (n + CODEBOOK * 1e-5) * n
            self.embedding = self.sums / smooth.unsqueeze(1)
        commitment = COMMITMENT * F.mse_loss(z_e, z_q, reduction="sum")
        straight_through = z_e + (z_q - z_e).detach()
        restored = torch.sigmoid(self.decoder(straight_through.view(len(x), -1)))
        return (F.binary_cross_entropy(restored, x.view(-1, 784), reduction="sum") + commitment) / len(x)


class TextbookPrior(nn.Module):
    """p(z_i|z_<i) by torch's own layers; all positions share their output weights."""

    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.symbols, self.places = nn.Embedding(CODEBOOK + 1, WIDTH), nn.Embedding(POSITIONS, WIDTH)
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, 4 * WIDTH, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(layer, DEPTH, nn.LayerNorm(WIDTH), enable_nested_tensor=False)
        self.last = nn.Linear(WIDTH, CODEBOOK)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(POSITIONS))

    def loss(self, z: Tensor) -> Tensor:
        """-log p(z) of codes (n, positions), a symbol."""
        before = F.pad(z[:, :-1], (1, 0), value=CODEBOOK)
        h = self.symbols(before) + self.places(torch.arange(POSITIONS))
        logits = self.last(self.blocks(h, mask=self.mask, is_causal=True))
        return F.cross_entropy(logits.view(-1, CODEBOOK), z.view(-1))


def textbook(root: str | None, workers: int, images: int) -> Seconds:
    model, prior = TextbookVQVAE(), TextbookPrior()
    loader, total = loader_of(root, images, BATCH, workers), 0.0
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)
    start = time.perf_counter()
    for x, _ in loader:
        optimizer.zero_grad()
        loss = model.loss(x)
        loss.backward()
        optimizer.step()
        total += loss.item()
    first_pass = time.perf_counter() - start
    optimizer = torch.optim.Adam(prior.parameters(), lr=LR)
    for x, _ in loader:
        with torch.no_grad():
            _, z = model.quantise(x)
        optimizer.zero_grad()
        loss = prior.loss(z.view(-1, POSITIONS))
        loss.backward()
        optimizer.step()
        total += loss.item()
    return {"textbook": first_pass, "textbook + prior": time.perf_counter() - start}
