"""Generated examples against the test split: quality, diversity, classes, memorisation.

Every measure is also taken of training examples in the place of the generated ones (the floor: real against real) and of the
model whose components are independent (the baseline).
"""

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from genlab.data.dataset import Dataset
from genlab.data.truth import HasObservables
from genlab.evaluation import diagnoses
from genlab.evaluation.baseline import independent_components, training_examples
from genlab.evaluation.diagnoses import Diagnosis
from genlab.evaluation.entries import Entries, Group, entry
from genlab.evaluation.features import FeatureSpace
from genlab.evaluation.features.feature_network import grey
from genlab.metrics.classes import classes_reached, entropy, histogram, total_variation
from genlab.metrics.estimate import Estimate, mean
from genlab.metrics.frechet import fid
from genlab.metrics.kernels import CUBIC, Kernel, gaussian, median_distance, mmd, within
from genlab.metrics.manifolds import Manifold, manifold, quality
from genlab.metrics.memorisation import memorisation, nearest
from genlab.models.base import Better
from genlab.numerics.rng import seeded

MOST_REFERENCE = 10_000  # test examples that take part: the cost of comparing all pairs grows with the square
MOST_NEIGHBOURS = 5_000  # samples whose nearest neighbours are looked for
NEIGHBOURS = 5  # k of the balls around examples
LEAST = 2 * NEIGHBOURS

MEASURES: dict[str, tuple[Group, str, Better]] = {
    "fid": ("sample quality", "squared distance of features", "lower"),
    "kid": ("sample quality", "squared discrepancy", None),
    "mmd": ("sample quality", "squared discrepancy", None),
    "precision": ("sample quality", "share", "higher"),
    "density": ("sample quality", "balls/k", "higher"),
    "recall": ("diversity", "share", "higher"),
    "coverage": ("diversity", "share", "higher"),
    "class_entropy": ("diversity", "nats", "higher"),
    "classes_reached": ("diversity", "share", "higher"),
    "class_distance": ("diversity", "total variation", "lower"),
}


@dataclass
class Reference:
    """The test split, with whatever several sets of generated examples are compared with."""

    dataset: Dataset
    space: FeatureSpace
    n: int
    """Number of examples in the floor and the baseline, as many as are generated."""
    seed: int
    num_classes: int | None = field(init=False)

    def __post_init__(self) -> None:
        self.num_classes = self.dataset.spec.num_classes
        test = self.dataset.test
        index = self._chosen(len(test), min(MOST_REFERENCE, len(test)), "test")
        truth = self.dataset.truth
        if isinstance(truth, HasObservables) and len(truth.temperatures) > 1:
            self.num_classes = (
                None  # temperatures, of which a configuration alone does not tell: observables judge them
            )
        self.labels = None if test.y is None or self.num_classes is None else test.y.cpu()[index]
        represent, device = grey(self.dataset), torch.device("cpu")
        self.train = training_examples(self.dataset.train)
        with seeded(self.seed, "reference", device=device):
            self.x = represent(torch.cat([test.take(part).cpu() for part in index.split(500)]))
            rows = self._chosen(len(self.train), min(self.n, len(self.train)), "floor")
            self.real_x = represent(self.train[rows])
            self.baseline_x = represent(independent_components(self.train, self.n))

    def _chosen(self, of: int, n: int, what: str) -> Tensor:
        if n == of:
            return torch.arange(of)
        with seeded(self.seed, "chosen", what, device=torch.device("cpu")):
            return torch.randperm(of)[:n].sort().values

    @cached_property
    def features(self) -> Tensor:
        return self.space.features(self.x).double()

    @cached_property
    def manifold(self) -> Manifold:
        return manifold(self.features, NEIGHBOURS)

    @cached_property
    def kernels(self) -> dict[str, tuple[Kernel, Tensor]]:
        """Kernel and its mean over the other real examples, for each real one."""
        kernels = {"kid": CUBIC, "mmd": gaussian(median_distance(self.features))}
        return {name: (kernel, within(self.features, kernel)) for name, kernel in kernels.items()}

    @cached_property
    def class_shares(self) -> Tensor:
        assert self.labels is not None
        assert self.num_classes is not None
        return histogram(self.labels, self.num_classes)

    @cached_property
    def classified(self) -> Estimate:
        """Share of the test examples in which the feature network sees the class that they have."""
        assert self.labels is not None
        return mean((self.space.classes(self.features) == self.labels).double())

    @cached_property
    def judged(self) -> tuple[dict[str, Estimate], dict[str, Estimate]]:
        """All measures of the floor and of the baseline."""
        return measures(self, self.real_x)[0], measures(self, self.baseline_x)[0]

    def stored_train(self) -> Tensor:
        """All training examples as floats in the representation of the reference."""
        with seeded(self.seed, "reference", device=torch.device("cpu")):
            return grey(self.dataset)(self.train)


def measures(reference: Reference, x: Tensor) -> tuple[dict[str, Estimate], Tensor | None]:
    """Everything that features tell of examples x, and the share of each class (None without classes)."""
    features = reference.space.features(x).double()
    found: dict[str, Estimate] = {"fid": fid(reference.features, features)}
    for name, (kernel, real_within) in reference.kernels.items():
        found[name] = mmd(reference.features, features, kernel, real_within)
    found |= quality(reference.manifold, manifold(features, NEIGHBOURS))
    if reference.labels is None or reference.num_classes is None:
        return found, None
    labels = _classes_of(reference, features)
    shares = histogram(labels, reference.num_classes)
    n, m = len(labels), len(reference.labels)
    found["class_entropy"] = entropy(shares, n)
    found["classes_reached"] = classes_reached(shares, reference.class_shares, n)
    found["class_distance"] = total_variation(shares, reference.class_shares, n, m)
    return found, shares


def _classes_of(reference: Reference, features: Tensor) -> Tensor:
    """As the feature network sees them; of vectors, the class of the nearest test example."""
    if reference.space.predicts_classes:
        return reference.space.classes(features)
    assert reference.labels is not None
    return reference.labels[nearest(features, reference.features).index]


@dataclass
class Judgement:
    entries: Entries
    diagnoses: list[Diagnosis]
    shares: Tensor | None
    """Share of each class among the samples."""
    real_shares: Tensor | None
    neighbours: Tensor
    """Nearest training example of each of the first samples, in the data's own space."""


def judge(reference: Reference, samples: Tensor, asked: Tensor | None = None) -> Judgement:
    """All measures of `samples` (n, *shape), on the CPU in the range of the data, with what they give reason to suspect.

    `asked` are the classes that they should have, (n,).
    """
    bad = diagnoses.not_finite(samples, "the samples")
    if bad is not None:
        return Judgement({}, [bad], None, None, samples[:0])
    mine, shares = measures(reference, samples)
    floor, baseline = reference.judged
    entries: Entries = {}
    for name, (group, unit, better) in MEASURES.items():
        if name in mine:
            entries[name] = entry(group, mine[name], unit, better, "statistic", floor[name], baseline[name])
    if asked is not None and reference.space.predicts_classes and reference.labels is not None:
        right = reference.space.classes(reference.space.features(samples).double()) == asked
        entries["conditional_accuracy"] = entry(
            "sample quality", mean(right.double()), "share", "higher", "statistic", reference.classified
        )
    few = samples[:MOST_NEIGHBOURS]
    train = reference.stored_train()
    in_train, in_test = nearest(few, train), nearest(few, reference.x)
    memory = memorisation(in_train, in_test, len(train), len(reference.x))
    # Real examples in the place of the generated: some of the test split against training and the other test examples.
    fresh = reference.x[: min(2000, len(reference.x) // 2)]
    usual, others = nearest(fresh, train), nearest(fresh, reference.x[len(fresh) :])
    real_copies = memorisation(usual, others, len(train), len(reference.x) - len(fresh)).copies
    usual_distance = Estimate(float(usual.distance.mean()), float(usual.distance.std()) / len(usual.distance) ** 0.5)
    entries["nearest_is_train"] = entry(
        "memorisation", memory.nearest_is_train, "share", real=Estimate(memory.expected, 0.0)
    )
    entries["nearest_train_distance"] = entry("memorisation", memory.train_distance, "distance", real=usual_distance)
    entries["nearest_test_distance"] = entry("memorisation", memory.test_distance, "distance")
    entries["copies"] = entry("memorisation", memory.copies, "share", "lower", real=real_copies)
    suspected = [
        diagnoses.lack_of_variety(samples, reference.x) or diagnoses.poor_coverage(mine["coverage"], floor["coverage"]),
        diagnoses.memorisation(memory, real_copies, len(few)),
        diagnoses.range_misfit(samples, reference.x, reference.dataset.spec, "the samples"),
    ]
    real_shares = None if shares is None else reference.class_shares
    if shares is not None and real_shares is not None:
        suspected.append(diagnoses.missing_classes(shares, real_shares, len(samples)))
    return Judgement(entries, [d for d in suspected if d is not None], shares, real_shares, train[in_train.index[:100]])
