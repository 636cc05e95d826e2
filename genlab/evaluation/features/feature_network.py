"""The fixed recipe by which feature networks are made: a small convolutional classifier of the data set.

Without labels it learns a pretext instead (Gidaris et al. 2018): which of four rotations, or flips where images are not
square, was applied. `python -m genlab.commands.feature_weights` makes the weights that come with genlab.
"""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from genlab.data.batches import Batch, Batches
from genlab.data.dataset import Dataset
from genlab.data.representation import Representation
from genlab.data.spec import DataSpec
from genlab.models.discriminative.classifier import Classifier
from genlab.numerics.rng import derive, seeded
from genlab.optimizers.algorithms import adamw
from genlab.optimizers.recipe import Recipe, set_rate
from genlab.tracking.console import console
from genlab.tracking.progress import step

HIDDEN = [16, 32, 64]
EXAMPLES, BATCH_SIZE, RATE, SEED = 600_000, 128, 0.002, 0
MOST_PASSES = 1_000
PRETEXT_CLASSES = 4


def length(size: int) -> int:
    """Examples to train on where the training split has `size`: fewer for a small one, which is learned by heart long before."""
    return min(EXAMPLES, MOST_PASSES * size)


def recipe(size: int) -> str:
    """What decides the weights beside the data."""
    seen = length(size)
    return f"cnn {HIDDEN}, {seen} examples, batch {BATCH_SIZE}, adamw {RATE} cosine, shift 1, seed {SEED}, version 1"


def grey(dataset: Dataset) -> Representation:
    """Pixels as the source has them, neither binarised nor dequantised: the same features for every representation."""
    return Representation(dataset.represent.levels, "none", False)


def blank(data: DataSpec) -> Classifier:
    """The untrained network, on the CPU."""
    create = adamw(lr=RATE, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.01)
    recipe = Recipe(create, schedule="cosine", warmup=0.0, clip=None)
    return Classifier(
        replace(data, num_classes=data.num_classes or PRETEXT_CLASSES),
        recipe,
        network="cnn",
        hidden=HIDDEN,
        activation="relu",
        dropout=0.0,
        label_smoothing=0.0,
        shift=1,
        start=None,
        reset=False,
        frozen=False,
        trunk=None,
    )


def fit(dataset: Dataset, device: torch.device) -> Classifier:
    """Train the network of `dataset`; takes a minute or two, and no number from the run's random stream."""
    console.print(
        f"training the feature network of {dataset.spec.name}, once: {recipe(len(dataset.train))}", markup=False
    )
    examples = length(len(dataset.train))
    with seeded(derive(SEED, "feature network"), device=device):
        network = blank(dataset.spec).to(device)
        batches = Batches(
            dataset.train, grey(dataset), batch_size=BATCH_SIZE, examples=examples, seed=SEED, device=device
        )
        stream = iter(batches) if dataset.spec.num_classes is not None else pretext(batches)
        (optimizer,) = network.optimizers.values()
        with step(f"features of {dataset.spec.name}", examples, "examples", main=True) as progress:
            for number, metrics in enumerate(network.train_loop(stream)):
                set_rate(optimizer, batches.progress)
                if number % 100 == 0:
                    progress.losses = {"loss": float(metrics["loss"])}
                progress.at(batches.seen)
    return network


def pretext(batches: Batches) -> Iterator[Batch]:
    """The same images, turned or flipped, with the number of the transformation as their class."""
    for batch in batches:
        which = torch.randint(PRETEXT_CLASSES, (len(batch.x),), device=batch.x.device)
        yield Batch(transformed(batch.x, which), which, batch.progress)


def transformed(x: Tensor, which: Tensor) -> Tensor:
    """Square images (n, C, H, W) turned by which * 90 degrees; others flipped along the axes that the bits of `which` name."""
    result = x.clone()
    for number in range(1, PRETEXT_CLASSES):
        chosen = which == number
        if x.shape[2] == x.shape[3]:
            result[chosen] = x[chosen].rot90(number, (2, 3))
        else:
            axes = [axis for bit, axis in ((1, 2), (2, 3)) if number & bit]
            result[chosen] = x[chosen].flip(axes)
    return result
