"""Twenty updates of many models in float64, by one process or by two that share each batch: python -m ... FOLDER.

Each process writes the state of every model to FOLDER; what is refused is written as the line that says why.
"""

import copy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from genlab.data import representation
from genlab.data.batches import Batch, Batches
from genlab.errors import GenlabError
from genlab.experiment.sharing import check_batches, check_shares
from genlab.networks.whole_batch_norm import take_whole_batches
from genlab.numerics import ranks, shares
from genlab.numerics.rng import bernoulli
from tests.helpers.support import BRISK, MODELS, configure, experiment_of, small_data
from tests.helpers.whole_draws import WHOLE, WholeDraws

UPDATES = 20
CHAINS = f"model.chains={WHOLE}"
SLOTS = f"model.buffer={WHOLE * 21}"  # an odd number of shares of a batch
SMALL = {
    "rbm": (CHAINS, "model.hidden=20"),
    "gaussian_rbm": (CHAINS, "model.hidden=20"),
    "ebm": (SLOTS, "model.hidden=[20]"),
    "ae": ("model.hidden=[30]",),
    "vae": ("model.hidden=[30]",),
    "classifier": ("model.hidden=[30]",),
    "vqvae": ("model.codebook=16",),  # so few that none is twice in the first batch: which of two equal ones is nearer?
    **BRISK,
}

VARIANTS: dict[str, tuple[str, tuple[str, ...]]] = {
    **{name: ("binary" if name == "rbm" else "grey", (f"model={name}", *SMALL.get(name, ()))) for name in MODELS},
    "rbm-cd": ("binary", ("model=rbm", "model.negative=cd", "model.k=2")),
    "rbm-tempered": ("binary", ("model=rbm", "model.negative=tempered", "model.temperatures=3", CHAINS)),
    "rbm-sparse": ("binary", ("model=rbm", "model.sparsity=1.0", "model.centred=true", CHAINS)),
    "rbm-classes": ("binary", ("model=rbm", "model.conditional=true", CHAINS)),
    "gaussian_rbm-sigma": ("vectors", ("model=gaussian_rbm", "model.learn_sigma=true", CHAINS)),
    "vae-free-bits": ("grey", ("model=vae", "model.free_bits=0.5", "model.hidden=[30]")),
    "vae-capacity": ("grey", ("model=vae", "model.capacity=5.0", "model.beta=10", "model.hidden=[30]")),
    "vae-vamp": ("grey", ("model=vae", "model.prior=vamp", "model.components=5", "model.hidden=[30]")),
    "vae-conditional": ("grey", ("model=vae", "model.conditional=true", "model.hidden=[30]")),
    "iwae": ("grey", ("model=vae", "model.k=3", "model.hidden=[30]")),
    "ae-contractive": ("grey", ("model=ae", "model.contraction=0.1", "model.noise=0.1", "model.hidden=[30]")),
    "ae-lbfgs": ("grey", ("model=ae", "optimizer=lbfgs", "optimizer.max_iter=5", "model.hidden=[30]")),
    "classifier-dropout": (
        "grey",
        ("model=classifier", "model.network=ffnn", "model.dropout=0.2", "model.hidden=[30]"),
    ),
    "classifier-cnn": ("grey", ("model=classifier", "model.network=cnn", "model.shift=1")),
    "gan-conditional": ("grey", ("model=gan", "model.conditional=true", "model.r1=1.0", "model.instance_noise=0.1")),
    "gan-conv": ("grey", ("model=gan", "model.network=conv", "model.spectral_norm=true", "model.critic_steps=2")),
    "wgan-clipping": ("grey", ("model=wgan", "model.penalty=clipping", "optimizer=rmsprop")),
    "sgan-labelled": ("few-labels", ("model=sgan",)),
    "ebm-denoising": ("vectors", ("model=ebm", "model.objective=denoising")),
    "ebm-mala": ("vectors", ("model=ebm", SLOTS)),
    "ebm-spins": ("spins", ("model=ebm", SLOTS)),
    "ebm-short": ("grey", ("model=ebm", "model.negative=short", "model.k=5")),
    "diffusion-learned": (
        "grey",
        ("model=diffusion", "model.objective=elbo", "model.schedule=learned", *BRISK["diffusion"]),
    ),
    "diffusion-consistency": ("grey", ("model=diffusion", "model.objective=consistency", *BRISK["diffusion"])),
    "flow_matching-ot": ("grey", ("model=flow_matching", "model.coupling=ot", *BRISK["flow_matching"])),
    "flow-splines": ("vectors", ("model=flow", "model.transform=spline", "model.depth=2")),
    "flow-maf": ("vectors", ("model=flow", "model.layers=autoregressive", "model.depth=2")),
    "flow-multiscale": ("grey", ("model=flow", "model.layers=multiscale", "model.depth=2", "model.hidden=[16]")),
    "autoregressive-pixelcnn": ("binary", ("model=autoregressive", "model.network=pixelcnn")),
    "autoregressive-transformer": ("binary", ("model=autoregressive", "model.network=transformer")),
    "clipped": ("grey", ("model=vae", "optimizer.clip=0.1", "optimizer.schedule=cosine", "model.hidden=[30]")),
}


class Doubles:
    """Batches with examples in float64."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.batches:
            labelled = batch.labelled and Batch(batch.labelled.x.double(), batch.labelled.y, batch.labelled.progress)
            yield Batch(batch.x.double(), batch.y, batch.progress, labelled)


def state_after(kind: str, words: tuple[str, ...], rank: int | None, turns: int = 1) -> dict[str, Any] | str:
    """The state of a model after UPDATES updates, or why it is refused.

    `rank` is that of one of two processes; None for one process, which goes through each batch in so many turns.
    """
    updates = 1 if "optimizer=lbfgs" in words else UPDATES  # its line searches make much of the last digits
    config = configure(
        *words, f"train.batch_size={WHOLE}", "device=cpu", "train.examples=100000", f"train.accumulate={turns}"
    )
    dataset = small_data("grey" if kind == "few-labels" else kind)
    try:
        experiment = experiment_of(config, dataset)
        check_batches(type(experiment.model), experiment.train, 2 // turns)
        check_shares(experiment.model, experiment.train, 2 // turns)
    except GenlabError as error:
        return str(error)
    model = experiment.model.double()
    take_whole_batches(model)
    draws = WholeDraws(rank)
    batches = Batches(
        dataset.train if kind != "few-labels" else few_labels(dataset.train),
        dataset.represent,
        batch_size=WHOLE,
        examples=100_000,
        seed=0,
        device=torch.device("cpu"),
        labelled_beside=model.labelled_beside,
    )
    with shares.dealt(turns):
        loop = iter(model.train_loop(Doubles(batches)))
        with draws:
            for _ in range(updates):
                draws.update += 1
                for turn in range(turns):
                    draws.count, draws.rank = 0, turn if turns > 1 else rank
                    next(loop)
        shares.collect(model)
    return copy.deepcopy(model.state_dict())


def few_labels(examples: Any) -> Any:
    """The same, and every third has a label."""
    from genlab.data.examples import Examples
    from genlab.data.labels import UNLABELLED

    y = examples.y.clone()
    y[torch.arange(len(y)) % 3 > 0] = UNLABELLED
    return Examples(examples.x, y)


def slow_draws(p: Tensor, **options: Any) -> Tensor:
    """As data/representation.py draws binary pixels, without four draws from one random number."""
    return bernoulli(p.double(), **options).to(p.dtype)


@contextmanager
def doubles() -> Iterator[None]:
    """Within the block all is computed in float64."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(representation, "bernoulli", slow_draws)
        patch.setattr(Tensor, "float", Tensor.double)  # what networks do for the sake of bf16
        torch.set_default_dtype(torch.float64)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_default_dtype(torch.float32)
            torch.set_num_threads(threads)


def main(folder: Path, names: list[str]) -> None:
    ranks.join(60.0)
    rank, world = ranks.of_environment()
    with doubles():
        found = {name: state_after(*VARIANTS[name], rank if world > 1 else None) for name in names}
    torch.save(found, folder / f"{world}_{rank}.pt")
    ranks.leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
