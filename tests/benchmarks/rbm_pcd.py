"""One epoch of an RBM 784-500 on 55,000 MNIST images: persistent chains, PCD-1, otherwise as in the contest of CD-1 (rbm.py).

64 chains, as many as a batch has images; scikit-learn has no other number. The textbook writes the gradient down, where the
lecture leaves it to autograd. An update needs five matrix products here too.
"""

import time
from functools import partial

import torch
from torch import Tensor

from tests.benchmarks.contest import Contest, Options, Seconds
from tests.benchmarks.rbm import (
    ABOUT,
    BATCH,
    EPOCH,
    HIDDEN,
    LR,
    VISIBLE,
    LectureRBM,
    bare,
    products,
    scikit_learn,
    setting,
)
from tests.benchmarks.vae import genlab, loader_of


def contest(options: Options) -> Contest:
    config, dataset = setting("model.negative=pcd", f"model.chains={BATCH}")
    assert isinstance(dataset.train.x, Tensor)
    root = config["dataset"]["root"]
    return Contest(
        title=f"RBM {VISIBLE}-{HIDDEN} on MNIST, PCD-1 with {BATCH} chains, batches of {BATCH}",
        images=EPOCH,
        loops={
            "genlab": partial(genlab, config, dataset),
            "bare": partial(bare, config, dataset),
            "textbook": partial(textbook, root, options.workers),
            "lecture": partial(lecture, root, options.workers),
            "scikit-learn": partial(scikit_learn, dataset.train.x.flatten(1).float() / 255),
            "products": products,
        },
        about=ABOUT
        | {
            "textbook": "torchvision's MNIST and DataLoader, the gradient written down; nothing is logged or saved",
            "lecture": "the lecture's loop with chains that persist, autograd",
        },
        shares={"the trainer adds to the time inside the model's own loop": ("genlab", "inside the model's loop")},
        limits={
            f"{row}: share of the rate of its five matrix products": (row, "products") for row in ("genlab", "bare")
        },
    )


@torch.no_grad()
def textbook(root: str | None, workers: int, images: int) -> Seconds:
    W, a, b = torch.randn(VISIBLE, HIDDEN) * 1e-2, torch.zeros(VISIBLE), torch.zeros(HIDDEN)
    chains = torch.bernoulli(torch.full((BATCH, HIDDEN), 0.5))
    loader = loader_of(root, images, BATCH, workers)
    start = time.perf_counter()
    for x, _ in loader:
        v = torch.bernoulli(x.view(-1, VISIBLE))
        h = torch.sigmoid(v @ W + b)
        v_model = torch.bernoulli(torch.sigmoid(chains @ W.t() + a))
        h_model = torch.sigmoid(v_model @ W + b)
        chains = torch.bernoulli(h_model)
        W += LR * (v.t() @ h / len(v) - v_model.t() @ h_model / BATCH)
        a += LR * (v.mean(0) - v_model.mean(0))
        b += LR * (h.mean(0) - h_model.mean(0))
    return {"textbook": time.perf_counter() - start}


def lecture(root: str | None, workers: int, images: int) -> Seconds:
    model = LectureRBM()
    optimizer = torch.optim.SGD(model.parameters(), LR)
    chains = torch.rand(BATCH, VISIBLE).bernoulli()
    losses, loader = [], loader_of(root, images, BATCH, workers)
    start = time.perf_counter()
    for x, _ in loader:
        v = x.view(-1, VISIBLE).bernoulli()
        chains = model.visible(model.hidden(chains)).detach()
        loss = model.free_energy(v) - model.free_energy(chains)
        losses.append(loss.detach())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert torch.stack(losses).mean().isfinite()
    return {"lecture": time.perf_counter() - start}
