"""The space in which generated and real examples are compared.

Images: the 64 inputs of the last layer of a small classifier of that data set. For digits, MNIST and Fashion-MNIST the weights
come with genlab, so that a distance means the same on every machine. For other images the network is trained once, with the
recipe of feature_network.py, and kept under a hash of the data and that recipe. Vectors are their own features, each component in
units of its standard deviation over the training split; so are configurations of a lattice, and curves, in units of the channel.
Of curves of more than 256 numbers the features are the scores on the first principal axes of the training split, and the distance
from the space that these span, so that what lies outside it counts too.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from genlab.data.batches import in_order
from genlab.data.dataset import Dataset
from genlab.data.download import data_root
from genlab.data.examples import Examples
from genlab.data.spec import DataSpec
from genlab.data.subsets import at_most
from genlab.data.truth import HasObservables
from genlab.errors import GenlabError
from genlab.evaluation.features.feature_network import blank, fit, grey, recipe
from genlab.models.discriminative.classifier import Classifier
from genlab.models.scaling import common_std
from genlab.numerics.rng import seeded
from genlab.tracking.progress import tracked

SHIPPED = ("digits", "mnist", "fashion_mnist")
FOLDER = Path(__file__).parent
BATCH = 500
MOST_POINTS, AXES = 256, 63  # of curves that are their own features; of longer ones
SCALE = "feature_scale"  # beside the weights in a file


@dataclass(frozen=True)
class FeatureSpace:
    """Maps examples (n, *shape) in [0, 1], or vectors, to features (n, dimensions)."""

    name: str
    hash: str
    """First twelve digits of the SHA-256 of the network's weights, or of the scale of vectors."""
    dimensions: int
    data: DataSpec
    network: Classifier | None
    """None where the components are the features."""
    scale: float
    """Divisor of the inputs of the last layer: features have the variance 1 on average over training images."""
    predicts_classes: bool
    """Whether the network was trained on the classes of the data; without labels it is trained on a pretext."""
    axes: Tensor | None = None
    """Principal axes of long curves, (D, axes)."""

    def features(self, x: Tensor) -> Tensor:
        """Features of x, shape (n, dimensions), on the CPU."""
        if self.network is None:
            z = _standardised(x.cpu(), self.data)
            if self.axes is None:
                return z
            scores = z @ self.axes
            return torch.cat([scores, (z - scores @ self.axes.T).norm(dim=1, keepdim=True)], 1)
        return self._in_batches(self.network.features, x) / self.scale

    @torch.no_grad()
    def classes(self, features: Tensor) -> Tensor:
        """Most probable class for each of `features` (n, dimensions), int64, shape (n,); only where `predicts_classes`."""
        assert self.network is not None
        logits: Tensor = self.network.head((features * self.scale).float().to(self.network.device))
        return logits.argmax(1).cpu()

    @torch.no_grad()
    def _in_batches(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        assert self.network is not None
        parts = tracked(x.split(BATCH), "features")
        return torch.cat([function(part.to(self.network.device)).cpu() for part in parts])

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "hash": self.hash, "dimensions": self.dimensions}


def feature_space(dataset: Dataset, device: torch.device) -> FeatureSpace:
    """The feature space of `dataset` (grey images as they are, not binarised). May train a network, which takes minutes.

    Raises GenlabError where its weights are damaged.
    """
    data = dataset.spec
    if data.is_curve and data.dim > MOST_POINTS:
        axes = _principal_axes(dataset)
        digest = _hash(axes.numpy().tobytes())
        return FeatureSpace("principal components", digest, axes.shape[1] + 1, data, None, 1.0, False, axes)
    if not data.is_image or isinstance(dataset.truth, HasObservables):  # lattices are compared by observables
        scale = torch.stack([data.mean, data.std]).flatten().contiguous()
        return FeatureSpace("components", _hash(scale.numpy().tobytes()), data.dim, data, None, 1.0, False)
    shipped = FOLDER / f"{data.name}.safetensors"
    if data.name in SHIPPED and shipped.exists() and data.num_classes == 10:
        content = shipped.read_bytes()
    else:
        content = _cached(dataset, device)
    with seeded(0, "initial values", device=device):  # the file replaces them
        network = blank(data)
    try:
        # Half precision is how they are kept, not how they are used.
        state = load(content)
        feature_scale = float(state.pop(SCALE)) or 1.0  # images that are all alike have features without a scale
        network.load_state_dict(state)
    except Exception as error:
        raise GenlabError(
            f"the feature network of dataset={data.name} cannot be read ({str(error).splitlines()[0]}); "
            f"remove its file under {cache_folder()}, and it will be trained again"
        ) from None
    network.to(device).eval()
    name, labelled = f"cnn-{data.name}", data.num_classes is not None
    return FeatureSpace(name, _hash(content), network.backbone.width, data, network, feature_scale, labelled)


def _standardised(x: Tensor, data: DataSpec) -> Tensor:
    """x (n, *shape) in standard deviations from the mean, (n, D)."""
    if data.is_curve:
        return ((x - data.mean) / common_std(data)).flatten(1)
    scale = torch.where(data.std > 0, data.std, torch.ones_like(data.std))
    return ((x - data.mean) / scale).flatten(1)


def _principal_axes(dataset: Dataset) -> Tensor:
    """Of at most 5,000 training examples, (D, axes)."""
    few = at_most(dataset.train, 5_000)
    z = _standardised(few.take(torch.arange(len(few))).cpu().float(), dataset.spec)
    with seeded(0, "principal axes", device=torch.device("cpu")):
        _, _, axes = torch.pca_lowrank(z, q=min(AXES, *z.shape), center=True, niter=4)
    return axes.contiguous()


def cache_folder() -> Path:
    return data_root(None).parent / "features"


def _cached(dataset: Dataset, device: torch.device) -> bytes:
    """Weights of the network of a data set that ships with none, trained at its first use."""
    path = (
        cache_folder()
        / f"{dataset.spec.name}-{_hash(_fingerprint(dataset.train) + recipe(len(dataset.train)).encode())}.safetensors"
    )
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        partial.write_bytes(encode(fit(dataset, device), dataset))
        partial.replace(path)
    return path.read_bytes()


@torch.no_grad()
def encode(network: Classifier, dataset: Dataset) -> bytes:
    """Weights as they are kept: safetensors, half precision, with the scale of the features of training images."""
    network.eval()
    stream = in_order(at_most(dataset.train, 10_000), grey(dataset), batch_size=BATCH, device=network.device)
    features = torch.cat([network.features(batch.x).cpu() for batch in stream])
    state = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    kept = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    return save({**kept, SCALE: features.var(0).mean().sqrt()})


def _fingerprint(examples: Examples) -> bytes:
    """Evenly spaced examples, their labels and their number: what makes a data set another one."""
    index = torch.arange(0, len(examples), -(-len(examples) // 2048))
    digest = hashlib.sha256(str(len(examples)).encode())
    for part in index.split(256):
        digest.update(examples.take(part).cpu().contiguous().numpy().tobytes())
    if examples.y is not None:
        digest.update(examples.y.cpu().contiguous().numpy().tobytes())
    return digest.digest()


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
