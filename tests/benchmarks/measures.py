"""Measures of 10,000 samples against 10,000 test images of MNIST, from their 64 features, on the CPU: genlab's and others'.

The features are those of genlab's network for MNIST, and training images stand in for samples; features are found beforehand, and
torchmetrics takes them as they are. It gives values of FID and KID, the latter as the mean over 100 random subsets of 1,000. That
is as many pairs as genlab compares, which takes each pair of the sets once and so has no scatter of subsets. precision, recall,
density and coverage are written here as their formulas say, with scikit-learn's distances. genlab gives a standard error for
each, which costs more than the values; rows without these stand beside. The values of all have to agree, as otherwise the loops
would not do the same work.
"""

import importlib
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch import Tensor, nn

from genlab.evaluation.features import feature_space
from genlab.evaluation.features.feature_network import grey
from genlab.evaluation.sample_reference import NEIGHBOURS
from genlab.metrics.frechet import fid, frechet_distance
from genlab.metrics.kernels import CUBIC, mmd
from genlab.metrics.manifolds import manifold, quality
from tests.benchmarks.contest import Contest, Options, Seconds, absent, has
from tests.benchmarks.vae import CPU
from tests.helpers.support import configure, make_dataset

EXAMPLES, SUBSET = 10_000, 1000
KID_SCATTER = 0.01  # five standard errors of a mean over 100 subsets of these features

ABOUT = {
    "genlab": "FID, KID, precision, recall, density and coverage as genlab evaluate finds them, with standard errors",
    "genlab, values": "the same without standard errors, as far as they can be left out",
    "others": "torchmetrics' FID and KID and the textbook's shares, without standard errors",
    "genlab, FID": "FID with its standard error",
    "genlab, FID alone": "FID without it",
    "torchmetrics, FID": "FrechetInceptionDistance",
    "genlab, KID": "KID with its standard error",
    "torchmetrics, KID": f"KernelInceptionDistance, 100 subsets of {SUBSET:,}, float32 as it takes features by itself",
    "torchmetrics, KID, float64": "the same from features in float64, in which genlab reckons",
    "genlab, shares": "precision, recall, density and coverage with standard errors",
    "genlab, shares alone": "the same without them",
    "textbook, shares": "three matrices of distances by scikit-learn, np.partition for the radii",
}

Values = dict[str, float]


@dataclass
class Agreement:
    """Values by the last run of every loop."""

    last: dict[str, tuple[int, float]] = field(default_factory=dict)

    def add(self, examples: int, values: Values) -> None:
        for name, value in values.items():
            same, other = self.last.setdefault(name, (examples, value))
            if same == examples:
                close = abs(value - other) <= 1e-3 * abs(other) + (KID_SCATTER if name == "kid" else 1e-4)
                assert close, f"{name} is {value:.5f} by one loop, {other:.5f} by another"
            self.last[name] = examples, value


def contest(options: Options) -> Contest:
    dataset = make_dataset(configure("model=pca", "dataset=mnist", "device=cpu"))
    space, represent, index = feature_space(dataset, CPU), grey(dataset), torch.arange(EXAMPLES)
    real, generated = (space.features(represent(split.take(index))) for split in (dataset.test, dataset.train))
    agreement = Agreement()
    loops: dict[str, Callable[[int], Seconds]] = {"genlab": partial(ours, real, generated, agreement)}
    loops["textbook, shares"] = partial(textbook, real, generated, agreement)
    pairs = {"textbook, shares": ("textbook, shares", "genlab, shares alone")}
    if has("torchmetrics"):
        del loops["textbook, shares"]
        loops["others"] = partial(others, real, generated, agreement)
        pairs["torchmetrics, FID"] = ("torchmetrics, FID", "genlab, FID alone")
        pairs["torchmetrics, KID"] = ("torchmetrics, KID", "genlab, KID")
    return Contest(
        title=f"measures of {EXAMPLES:,} samples from {space.dimensions} features",
        unit="samples",
        images=EXAMPLES,
        loops=loops,
        about=ABOUT,
        absent=absent("torchmetrics"),
        shares={f"{text}, beside values alone: longer by": pair for text, pair in pairs.items()},
        together=True,
    )


def timed(act: Callable[[], Values]) -> tuple[Values, float]:
    start = time.perf_counter()
    values = act()
    return values, time.perf_counter() - start


def ours(real: Tensor, generated: Tensor, agreement: Agreement, samples: int) -> Seconds:
    x, y = real[:samples].double(), generated[:samples].double()
    # Examples of one chain have no standard error: it is not looked for.
    one_chain = torch.zeros(len(y), dtype=torch.int64)
    acts: dict[str, Callable[[], Values]] = {
        "genlab, FID": lambda: {"fid": fid(x, y).value},
        "genlab, FID alone": lambda: {"fid": frechet_distance(x, y)},
        "genlab, KID": lambda: {"kid": mmd(x, y, CUBIC).value},
        "genlab, shares": lambda: shares(x, y, None),
        "genlab, shares alone": lambda: shares(x, y, one_chain),
    }
    seconds = {}
    for name, act in acts.items():
        values, seconds[name] = timed(act)
        agreement.add(samples, values)
    seconds["genlab"] = sum(seconds[f"genlab, {part}"] for part in ("FID", "KID", "shares"))
    seconds["genlab, values"] = sum(seconds[f"genlab, {part}"] for part in ("FID alone", "KID", "shares alone"))
    return seconds


def shares(x: Tensor, y: Tensor, chain: Tensor | None) -> Values:
    found = quality(manifold(x, NEIGHBOURS), manifold(y, NEIGHBOURS), chain)
    return {name: estimate.value for name, estimate in found.items()}


class Given(nn.Module):
    """Stands in for the feature network of torchmetrics: it passes features through."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def others(real: Tensor, generated: Tensor, agreement: Agreement, samples: int) -> Seconds:
    x, y = real[:samples], generated[:samples]
    fids, kids = (importlib.import_module(f"torchmetrics.image.{name}") for name in ("fid", "kid"))

    def torchmetrics_fid() -> Values:
        measure = fids.FrechetInceptionDistance(Given(x.shape[1]))
        measure.update(x, real=True)
        measure.update(y, real=False)
        return {"fid": float(measure.compute())}

    def torchmetrics_kid(x: Tensor, y: Tensor) -> Values:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it keeps all features
            measure = kids.KernelInceptionDistance(Given(x.shape[1]), subset_size=min(SUBSET, len(x)))
        measure.update(x, real=True)
        measure.update(y, real=False)
        return {"kid": float(measure.compute()[0])}

    acts: dict[str, Callable[[], Values]] = {
        "torchmetrics, FID": torchmetrics_fid,
        "torchmetrics, KID": partial(torchmetrics_kid, x, y),
        "torchmetrics, KID, float64": partial(torchmetrics_kid, x.double(), y.double()),
    }
    seconds: dict[str, float] = {}
    for name, act in acts.items():
        values, seconds[name] = timed(act)
        agreement.add(samples, values)
    seconds |= textbook(real, generated, agreement, samples)
    parts = ("torchmetrics, FID", "torchmetrics, KID", "textbook, shares")
    return {**seconds, "others": sum(seconds[part] for part in parts)}


def textbook(real: Tensor, generated: Tensor, agreement: Agreement, samples: int) -> Seconds:
    from sklearn.metrics import pairwise_distances

    x, y = real[:samples].numpy(), generated[:samples].numpy()

    def radii(points: "np.typing.NDArray[np.float32]") -> "np.typing.NDArray[np.float32]":
        """Distance to the k-th nearest other point; the point itself is the first of all."""
        found: np.typing.NDArray[np.float32] = np.partition(pairwise_distances(points), NEIGHBOURS, axis=1)
        return found[:, NEIGHBOURS]

    def measured() -> Values:
        of_real, of_generated, distances = radii(x), radii(y), pairwise_distances(x, y)
        in_real = distances <= of_real[:, None]
        return {
            "precision": float(in_real.any(0).mean()),
            "recall": float((distances <= of_generated).any(1).mean()),
            "density": float(in_real.sum(0).mean()) / NEIGHBOURS,
            "coverage": float(in_real.any(1).mean()),
        }

    with threadpool_limits(torch.get_num_threads(), user_api="blas"):
        values, seconds = timed(measured)
    agreement.add(samples, values)
    return {"textbook, shares": seconds}
