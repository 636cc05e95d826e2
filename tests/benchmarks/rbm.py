"""One epoch of an RBM 784-500 on 55,000 MNIST images: CD-1, batches of 64, SGD at a constant 0.1, float32 on the CPU.

The same machine and the same number of updates for all. They differ in this: genlab centres the gradient, keeps a running
average of the parameters and draws its batches in a new order; its 860th batch runs on into the next epoch, where that of
the others is short. The lecture leaves the gradient to autograd, as that of a difference of free energies, and binarises
each batch anew, as genlab does; scikit-learn takes grey values as they are, and its chains persist, which costs the same.
An update needs five matrix products, whoever makes it: `products` times these alone.
"""

import tempfile
import time
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genlab.data.batches import Batches
from genlab.data.dataset import Dataset
from genlab.models.base import Model
from tests.benchmarks.contest import Contest, Options, Seconds
from tests.benchmarks.vae import for_torchvision, genlab
from tests.helpers.support import configure, make_dataset, make_model

EPOCH, BATCH, LR = 55_000, 64, 0.1
VISIBLE, HIDDEN = 784, 500
CPU = torch.device("cpu")

OVERRIDES = [
    "model=rbm",
    f"model.hidden={HIDDEN}",
    "model.negative=cd",
    "model.k=1",
    "dataset=mnist",
    "dataset.validation=5000",
    "dataset.binarize=dynamic",
    "device=cpu",
    f"train.batch_size={BATCH}",
    "optimizer=sgd",
    f"optimizer.lr={LR}",
    "optimizer.schedule=constant",
    # An epoch here has the cadence of one in a run of ten: 20 records and, at its end, pictures, last.pt and best.pt.
    f"train.log_every={EPOCH // 20}",
]

ABOUT = {
    "genlab": "the trainer with 20 records, TensorBoard, 2 checkpoints; centred, averaged",
    "genlab + evaluation": "the same, the pseudo-likelihood of 5,000 validation and 10,000 test images, and a set of pictures",
    "bare": "genlab's model, batches and optimizer with nothing around them",
    "lecture": "the lecture's loop: torchvision's MNIST and DataLoader, autograd; nothing is logged or saved",
    "scikit-learn": "BernoulliRBM on numpy: persistent chains, grey values as they come, already in memory",
    "products": "the five matrix products of an update alone, into memory that is there: what the hardware allows",
}


def contest(options: Options) -> Contest:
    config, dataset = setting()
    assert isinstance(dataset.train.x, Tensor)
    return Contest(
        title=f"RBM {VISIBLE}-{HIDDEN} on MNIST, CD-1, batches of {BATCH}",
        images=EPOCH,
        loops={
            "genlab": partial(genlab, config, dataset),
            "bare": partial(bare, config, dataset),
            "lecture": partial(lecture, for_torchvision(config["dataset"]["root"]), options.workers),
            "scikit-learn": partial(scikit_learn, dataset.train.x.flatten(1).float() / 255),
            "products": products,
        },
        about=ABOUT,
        shares={"the trainer adds to the time inside the model's own loop": ("genlab", "inside the model's loop")},
        limits={
            f"{row}: share of the rate of its five matrix products": (row, "products") for row in ("genlab", "bare")
        },
    )


def setting(*further: str) -> tuple[dict[str, Any], Dataset]:
    """The contest's configuration with `further` overrides, and its data."""
    config = configure(*OVERRIDES, *further)
    return config, make_dataset(config)


def trained(config: dict[str, Any], dataset: Dataset, images: int) -> tuple[Model, float]:
    """A machine that has seen so many images, and the seconds of its loop."""
    model = make_model(config, dataset.spec)
    batches = Batches(dataset.train, dataset.represent, batch_size=BATCH, examples=images, seed=0, device=CPU)
    start = time.perf_counter()
    for _ in model.train_loop(batches):
        pass
    return model, time.perf_counter() - start


def bare(config: dict[str, Any], dataset: Dataset, images: int) -> Seconds:
    return {"bare": trained(config, dataset, images)[1]}


class LectureRBM(nn.Module):
    """The lecture's machine with k = 1: what its code computes, used or not."""

    def __init__(self) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.randn(HIDDEN, VISIBLE) * 1e-2)
        self.a, self.b = nn.Parameter(torch.zeros(VISIBLE)), nn.Parameter(torch.zeros(HIDDEN))

    def draw(self, p: Tensor) -> Tensor:
        return F.relu(torch.sign(p - torch.rand(p.size())))

    def hidden(self, v: Tensor) -> Tensor:
        return self.draw(torch.sigmoid(F.linear(v, self.W, self.b)))

    def visible(self, h: Tensor) -> Tensor:
        return self.draw(torch.sigmoid(F.linear(h, self.W.t(), self.a)))

    def forward(self, v: Tensor) -> tuple[Tensor, Tensor]:
        v_model = self.visible(self.hidden(v))
        self.hidden(v_model)  # the lecture ends each of its k sweeps with h; nothing uses the last one
        return v, v_model

    def free_energy(self, v: Tensor) -> Tensor:
        hidden_term = F.linear(v, self.W, self.b).exp().add(1).log().sum(1)
        return (-hidden_term - v.mv(self.a)).mean()


def lecture(folder: "tempfile.TemporaryDirectory[str]", workers: int, images: int) -> Seconds:
    """`folder` holds MNIST in torchvision's layout. The lecture does not shuffle."""
    from torchvision import datasets, transforms

    data = datasets.MNIST(folder.name, train=True, transform=transforms.ToTensor())
    loader = torch.utils.data.DataLoader(
        torch.utils.data.Subset(data, range(images)), batch_size=BATCH, num_workers=workers
    )
    model = LectureRBM()
    optimizer = torch.optim.SGD(model.parameters(), LR)
    losses, start = [], time.perf_counter()
    for x, _ in loader:
        v, v_model = model(x.view(-1, VISIBLE).bernoulli())
        loss = model.free_energy(v) - model.free_energy(v_model)
        losses.append(loss.detach())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert torch.stack(losses).mean().isfinite()  # exp(z) does not overflow within an epoch
    return {"lecture": time.perf_counter() - start}


def scikit_learn(x: Tensor, images: int) -> Seconds:
    """`x` are the grey values in [0, 1]; numpy has as many threads as it takes for itself."""
    from sklearn.neural_network import BernoulliRBM

    machine = BernoulliRBM(n_components=HIDDEN, learning_rate=LR, batch_size=BATCH, n_iter=1, random_state=0)
    start = time.perf_counter()
    machine.fit(x[:images].numpy())
    return {"scikit-learn": time.perf_counter() - start}


def products(images: int) -> Seconds:
    """v W, W h, v' W, v^T h and v'^T h of batches that stay where they are."""
    W, v, v_model = 0.01 * torch.randn(VISIBLE, HIDDEN), torch.rand(BATCH, VISIBLE), torch.rand(BATCH, VISIBLE)
    h, h_model, gradient = torch.rand(BATCH, HIDDEN), torch.rand(BATCH, HIDDEN), torch.zeros_like(W)
    u, z = torch.zeros_like(v), torch.zeros_like(h)
    start = time.perf_counter()
    for _ in range(-(-images // BATCH)):
        torch.mm(v, W, out=z)
        torch.mm(h, W.t(), out=u)
        torch.mm(v_model, W, out=z)
        torch.mm(v.t(), h, out=gradient)
        torch.mm(v_model.t(), h_model, out=gradient)
    return {"products": time.perf_counter() - start}
