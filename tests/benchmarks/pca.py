"""The first 32 principal axes of 55,000 MNIST images on the CPU: genlab's model=pca beside scikit-learn's PCA.

All find them from the covariance of all pixels, exactly; none takes the randomised way. For data of this shape scikit-learn's
svd_solver=auto takes covariance_eigh too, and for a part of the data (--images) another solver. genlab adds up the moments batch
after batch, without rounding: products of whole grey levels in float32, their sums in float64. The others take all images at once
as floats in memory, in float32 where nothing else is said. The variances of all have to agree, as otherwise the loops would not
do the same work.
"""

import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch import Tensor

from genlab.data.batches import Batches
from genlab.data.dataset import Dataset
from genlab.models.latent.pca import PCA
from tests.benchmarks.contest import Contest, Options, Seconds
from tests.benchmarks.vae import CPU, genlab
from tests.helpers.support import configure, make_dataset, make_model

EPOCH, AXES = 55_000, 32

OVERRIDES = [
    "model=pca",
    "dataset=mnist",
    "dataset.validation=5000",
    "device=cpu",
    f"model.latent_dim={AXES}",
    f"train.log_every={EPOCH // 20}",
]

ABOUT = {
    "genlab": "the trainer with all logging: 20 records, TensorBoard, 2 checkpoints; sums without rounding",
    "genlab + evaluation": "the same, the likelihood of 5,000 validation and 10,000 test images, and pictures",
    "bare": "genlab's model and batches of bytes with nothing around them; sums without rounding",
    "scikit-learn": "PCA with svd_solver=auto",
    "scikit-learn, covariance_eigh": "PCA with svd_solver=covariance_eigh",
    "scikit-learn, float64": "the same with the images in float64, as numpy makes them",
    "textbook": "torch.cov and torch.linalg.eigh",
}


@dataclass
class Variances:
    """Along the axes, by the last run of every loop; those of the whole data have to agree."""

    last: dict[str, Tensor] = field(default_factory=dict)

    def add(self, loop: str, images: int, found: Tensor) -> None:
        if images < EPOCH:  # genlab draws which ones
            return
        self.last[loop] = found.double()
        for other, values in self.last.items():
            assert torch.allclose(self.last[loop], values, rtol=1e-3), f"{loop} and {other} find different variances"


def contest(options: Options) -> Contest:
    config = configure(*OVERRIDES)
    dataset = make_dataset(config)
    assert isinstance(dataset.train.x, Tensor)
    x = dataset.train.x.flatten(1).float() / 255
    variances = Variances()

    def sklearn(name: str, solver: str, data: Tensor) -> Any:
        return partial(scikit_learn, name, solver, data, variances)

    return Contest(
        title=f"{AXES} principal axes of MNIST",
        images=EPOCH,
        loops={
            "genlab": partial(genlab, config, dataset),
            "bare": partial(bare, config, dataset, variances),
            "scikit-learn": sklearn("scikit-learn", "auto", x),
            "scikit-learn, covariance_eigh": sklearn("scikit-learn, covariance_eigh", "covariance_eigh", x),
            "scikit-learn, float64": sklearn("scikit-learn, float64", "covariance_eigh", x.double()),
            "textbook": partial(textbook, x, variances),
        },
        about=ABOUT,
        shares={"the trainer adds to the time inside the model's own loop": ("genlab", "inside the model's loop")},
        together=True,
    )


def bare(config: dict[str, Any], dataset: Dataset, variances: Variances, images: int) -> Seconds:
    model = make_model(config, dataset.spec)
    assert isinstance(model, PCA)
    batches = Batches(
        dataset.train,
        dataset.represent,
        batch_size=config["train"]["batch_size"],
        examples=images,
        seed=0,
        device=CPU,
        cut_last=True,
    )
    start = time.perf_counter()
    for _ in model.train_loop(batches):
        pass
    seconds = time.perf_counter() - start
    variances.add("bare", images, model.eigenvalues)
    return {"bare": seconds}


def scikit_learn(name: str, solver: str, x: Tensor, variances: Variances, images: int) -> Seconds:
    """`x` are the grey values in [0, 1]; numpy has as many threads as torch."""
    from sklearn import decomposition

    machine = decomposition.PCA(n_components=AXES, svd_solver=solver, random_state=0)
    with threadpool_limits(torch.get_num_threads(), user_api="blas"):
        start = time.perf_counter()
        machine.fit(x[:images].numpy())
        seconds = time.perf_counter() - start
    variances.add(name, images, torch.from_numpy(machine.explained_variance_))
    return {name: seconds}


def textbook(x: Tensor, variances: Variances, images: int) -> Seconds:
    start = time.perf_counter()
    values, vectors = torch.linalg.eigh(torch.cov(x[:images].T))
    vectors[:, -AXES:].flip(1).T.contiguous()
    seconds = time.perf_counter() - start
    variances.add("textbook", images, values[-AXES:].flip(0))
    return {"textbook": seconds}
